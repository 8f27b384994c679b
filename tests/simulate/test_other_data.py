"""Advice for a path that was given as a data set and is none."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from simulate.other_data import no_data_set


def advice(path):
    message = str(no_data_set(path, "manifest.json"))
    assert "\n" not in message
    assert message.startswith(f"{path} is not a data set: ")
    return message


@pytest.fixture
def images(tmp_path):
    (tmp_path / "fits").mkdir()
    (tmp_path / "npy").mkdir()
    for number in range(2):
        pixels = np.ones((8, 8), np.float32)
        fits.PrimaryHDU(pixels).writeto(tmp_path / "fits" / f"{number}.fits")
        np.save(tmp_path / "npy" / f"{number}.npy", pixels)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("fits", "import {}`"),
        ("fits/0.fits", "import {}`"),
        ("npy", "import {} --pixel-scale ARCSEC`"),
        ("npy/0.npy", "import {} --pixel-scale ARCSEC`"),
    ],
)
def test_images_are_to_be_imported(images, name, command):
    assert command.format(images / name) in advice(images / name)


def test_a_name_with_spaces_is_quoted(images):
    (images / "fits").rename(images / "my cutouts")
    assert f"import '{images / 'my cutouts'}'`" in advice(images / "my cutouts")


def test_hdf5_files_are_told_apart(tmp_path):
    with h5py.File(tmp_path / "image.h5", "w") as file:
        file["image"] = np.ones((2, 1, 8, 8), np.float32)
    with h5py.File(tmp_path / "fit.h5", "w") as file:
        file["kwargs_result"] = np.ones(3)
    assert f"predict RUN {tmp_path / 'image.h5'}` reads its images" in advice(tmp_path / "image.h5")
    assert "the result of a lens model" in (told := advice(tmp_path / "fit.h5"))
    assert "import takes images as .npy and FITS files" in told
    (tmp_path / "manifest.json").write_text("{}")
    assert f"give the folder that it is in, {tmp_path}" in advice(tmp_path / "fit.h5")


@pytest.mark.parametrize("name", ["nothing", "."])
def test_where_there_is_nothing_a_data_set_is_simulated(tmp_path, name):
    assert "it has no manifest.json; make one with `python cli.py simulate`" in advice(
        tmp_path / name
    )
