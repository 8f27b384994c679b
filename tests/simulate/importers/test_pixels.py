"""Pixels of imported images: bad ones are filled and counted."""

import numpy as np
import pytest

from simulate.importers.errors import BrokenFileError
from simulate.importers.pixels import fill_bad_pixels
from tests.simulate.importers.make_files import image, save


def test_good_pixels_stay_as_they_are():
    pixels = image()
    filled, count = fill_bad_pixels(pixels, "median")
    assert count == 0
    assert np.array_equal(filled, pixels.astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.6e38, -3e38, 1e39, 1e31])
@pytest.mark.parametrize(("fill", "expected"), [("median", 5.0), ("zero", 0.0)])
def test_what_is_no_flux_is_filled_and_counted(value, fill, expected):
    """1.6e38 is IRAF's INDEF: finite in single precision, and NaN in a network."""
    pixels = np.full((8, 8), 5.0)
    pixels[2, 3] = value
    filled, count = fill_bad_pixels(pixels, fill)
    assert count == 1
    assert filled[2, 3] == expected


def test_an_image_without_a_good_pixel_is_broken():
    with pytest.raises(BrokenFileError, match="no good pixel"):
        fill_bad_pixels(np.full((8, 8), 1.6e38), "median")


def test_a_marker_of_bad_pixels_is_no_flux_of_a_data_set(tmp_path, importing):
    pixels = image()
    pixels[1, 1] = 1.6e38
    save(tmp_path / "set" / "no" / "1.npy", pixels)
    data = importing(tmp_path / "set")
    assert data.params["n_bad_pixels"].tolist() == [1]
    assert data.image.max() < 10
