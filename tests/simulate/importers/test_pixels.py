"""Pixels of imported images: bad ones are filled and counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulate.importers.errors import BrokenFileError
from simulate.importers.pixels import fill_bad_pixels, frame_pixels
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


@settings(deadline=None)
@given(
    st.tuples(st.integers(5, 200), st.integers(5, 200)), st.integers(2, 200), st.integers(0, 2**31)
)
def test_a_star_at_the_centre_stays_at_the_centre(shape, size, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0.0, 0.1, shape)
    middle = [(n - 1) / 2 for n in shape]
    # Of an even number of pixels, the two in the middle share the star.
    star = [int(m + 0.5 * rng.integers(2)) for m in middle]
    pixels[tuple(star)] = 100.0
    pixels[0, 0] = np.nan
    framed, bad, (left, right, bottom, top) = frame_pixels(pixels, size, "median")
    assert framed.shape == (size, size)
    assert np.isfinite(framed).all()
    assert bad == int(max(shape) <= size + 1)  # that corner is shown
    places = np.unravel_index(framed.argmax(), framed.shape)
    if framed.max() == 100.0:  # a size of 2 may show the other of two
        moved = np.array(places) - (size - 1) / 2 - (np.array(star) - middle)
        assert np.abs(moved).max() <= 0.5
    else:
        assert size < 4
    inside = framed[bottom : size - top, left : size - right]
    assert inside.shape == (min(shape[0], size), min(shape[1], size))


def test_padding_is_the_sky_or_zero():
    pixels = np.full((4, 6), 5.0)
    pixels[0, 0] = np.nan
    for fill, value in (("median", 5.0), ("zero", 0.0)):
        framed, bad, padding = frame_pixels(pixels, 6, fill)
        assert (bad, padding) == (1, (0, 0, 1, 1))
        assert (framed[[0, 5]] == value).all()
