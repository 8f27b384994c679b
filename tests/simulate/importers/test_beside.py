"""Masks in files beside an image."""

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.beside import find_flags
from simulate.importers.fits import read_fits
from tests.simulate.importers.make_files import image, save_fits, wcs_header


def mask(path, bad=((1, 2),), n=8):
    plane = np.zeros((n, n), np.int16)
    for place in bad:
        plane[place] = 3
    fits.PrimaryHDU(plane).writeto(path)
    return path


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.fits", "a_dq.fits"),
        ("a.fits", "a.mask.fits"),
        ("a_sci.fits", "a_dq.fits"),
        ("a_drz.fits", "a_DQ.fits"),
        ("a.fits", "a-flags.fits.gz"),
    ],
)
def test_the_mask_that_bears_the_name_of_an_image_is_applied(name, beside, tmp_path):
    save_fits(tmp_path / name)
    mask(tmp_path / beside)
    mask(tmp_path / "b_dq.fits")
    assert find_flags(tmp_path / name) == tmp_path / beside
    remarks = []
    bad = np.isnan(read_fits(tmp_path / name, None, remarks.append))
    assert np.argwhere(bad).tolist() == [[1, 2]]
    assert remarks == ["whose mask in a file beside is applied"]


def test_masks_of_other_images_are_not(tmp_path):
    save_fits(tmp_path / "a.fits")
    mask(tmp_path / "b_dq.fits")
    mask(tmp_path / "mask.fits")
    assert find_flags(tmp_path / "a.fits") is None
    assert find_flags(tmp_path / "a.npy") is None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: mask(path, n=4), "it has other pixels"),
        (lambda path: fits.PrimaryHDU(np.ones((8, 8), "i2")).writeto(path), "more than half"),
        (lambda path: path.write_bytes(b"SIMPLE"), "its header has no end"),
    ],
)
def test_a_mask_that_is_not_applied_is_named(make, reason, tmp_path):
    """One that marks nearly all of an image may well mark the good pixels."""
    save_fits(tmp_path / "a.fits")
    make(tmp_path / "a_mask.fits")
    remarks = []
    assert np.isfinite(read_fits(tmp_path / "a.fits", None, remarks.append)).all()
    (remark,) = remarks
    assert remark.startswith("whose mask in a file beside is not applied: ")
    assert reason in remark


def test_import_applies_it_and_says_so(tmp_path, importing):
    for name in "ab":
        save_fits(tmp_path / "cut" / f"{name}.fits", image(), wcs_header())
        mask(tmp_path / "cut" / f"{name}_dq.fits", bad=((1, 2), (3, 3)))
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.params["n_bad_pixels"].tolist() == [2, 2]
    assert importing.lines == [
        "left out 2 masks by their names, no images of the sky: a_dq.fits, b_dq.fits",
        "2 images whose mask in a file beside is applied",
    ]
