"""Files of a folder: images, what is none, and what cannot be read."""

import gzip
import os

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.listing import (
    has_images,
    is_image,
    list_folders,
    list_images,
    role_of,
)
from simulate.importers.roles import Neighbours
from tests.simulate.importers.make_files import save_fits


@pytest.fixture
def folder(tmp_path):
    for name in ("a.fits", "a_psf.fits", "b.npy", "notes.txt", "._b.npy", "noise.fits"):
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def test_images_and_what_is_none(folder):
    listing = list_images(folder)
    assert listing.images == (("a.fits", 5), ("b.npy", 5))
    assert dict(listing.others) == {"a_psf.fits": "PSF", "noise.fits": "noise map"}
    assert list_images(folder / "absent") == ((), ())
    assert has_images(folder)
    (folder / "empty").mkdir()
    assert not has_images(folder / "empty")


def test_what_cannot_be_read_is_listed_to_be_named(folder):
    (folder / "loop.fits").symlink_to("loop.fits")
    (folder / "dangling.fits").symlink_to("nowhere")
    (folder / "folder.fits").mkdir()
    os.mkfifo(folder / "pipe.fits")
    sizes = dict(list_images(folder).images)
    for name in ("loop.fits", "dangling.fits", "folder.fits", "pipe.fits"):
        assert sizes[name] == -1


def test_folders_are_those_that_are_not_called_as_images(folder):
    for name in ("sub", "folder.fits", ".hidden"):
        (folder / name).mkdir()
    (folder / "circle").symlink_to("circle")
    assert list(list_folders(folder)) == ["sub"]


def test_the_data_of_one_lens_are_an_image_with_its_noise(folder):
    assert list_images(folder).is_one_lens
    (folder / "noise.fits").unlink()
    assert not list_images(folder).is_one_lens  # two images, and a PSF of one of them


@pytest.mark.parametrize(
    ("name", "known"), [("a.npy", True), ("A.NPY", True), ("a.fits.gz", True), ("a.h5", False)]
)
def test_names_of_images(name, known):
    assert is_image(name) is known


@pytest.mark.parametrize("name", ["DQ.fits", "psf.fits", "a_rms.fits.gz"])
def test_a_file_with_a_science_image_is_one_whatever_its_name(name, tmp_path):
    others = fits.ImageHDU(np.ones((8, 8)), name="DQ")
    save_fits(tmp_path / "plain.fits", None, None, others)
    save_fits(tmp_path / "other.fits", name="RMS")
    for made, source in ((name, "plain.fits"), ("noise.fits", "other.fits")):
        data = (tmp_path / source).read_bytes()
        (tmp_path / made).write_bytes(gzip.compress(data) if made.endswith("gz") else data)
    beside = Neighbours(())
    assert role_of(tmp_path / name, beside) is None
    assert role_of(tmp_path / "noise.fits", beside) == "noise map"
    (tmp_path / "psf.npy").write_bytes(b"")
    assert role_of(tmp_path / "psf.npy", beside) == "PSF"
