"""Pixel grids."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.Util.util import make_grid

from lensphys import pixel_grid
from lensphys.grid import measure_pixels


@settings(max_examples=25, deadline=None)
@given(ny=st.integers(1, 40), nx=st.integers(1, 40), scale=st.floats(1e-3, 1))
def test_pixel_i_of_n_sits_at_its_distance_from_the_middle(ny, nx, scale):
    x, y = pixel_grid((ny, nx), scale, dtype=torch.float64)
    assert x.shape == y.shape == (ny, nx)
    for axis, n in ((x[0], nx), (y[:, 0], ny)):
        expected = [(i - (n - 1) / 2) * scale for i in range(n)]
        torch.testing.assert_close(axis, torch.tensor(expected, dtype=x.dtype), rtol=0, atol=1e-14)
    assert (x == x[:1]).all()
    assert (y == y[:, :1]).all()


@pytest.mark.parametrize("shape", [4, 5, (4, 7), (7, 4)])
def test_a_grid_is_symmetric_about_the_optical_axis(shape):
    x, y = pixel_grid(shape, 0.05)
    assert torch.equal(x, -x.flip(-1))
    assert torch.equal(y, -y.flip(-2))


@pytest.mark.parametrize("n", [8, 9])
def test_a_grid_has_lenstronomys_coordinates(n):
    x, y = pixel_grid(n, 0.08, dtype=torch.float64)
    their_x, their_y = make_grid(n, 0.08)
    np.testing.assert_allclose(x.flatten(), their_x, rtol=0, atol=1e-15)
    np.testing.assert_allclose(y.flatten(), their_y, rtol=0, atol=1e-15)


def test_float32_coordinates_are_rounded_once():
    exact = pixel_grid((150, 64), 0.05, dtype=torch.float64)
    rounded = pixel_grid((150, 64), 0.05, dtype=torch.float32)
    for wide, narrow in zip(exact, rounded, strict=True):
        assert narrow.dtype == torch.float32
        assert torch.equal(narrow, wide.float())


def test_a_grid_is_of_torchs_default_type_on_its_default_device():
    x, _ = pixel_grid(3, 0.1)
    assert (x.dtype, x.device) == (torch.get_default_dtype(), torch.empty(0).device)


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 1e-7), (torch.float64, 1e-15)])
@pytest.mark.parametrize("scale", [0.05, 0.08, 0.101])
def test_the_spacing_of_a_grid_is_its_pixel_scale(scale, dtype, precision):
    x, y = pixel_grid((150, 64), scale, dtype=dtype)
    assert measure_pixels(x, y)[0] == pytest.approx(scale, rel=precision)
    assert measure_pixels(x.expand(3, -1, -1), y.expand(3, -1, -1)) == measure_pixels(x, y)


def test_a_grid_that_is_not_of_square_pixels_is_refused():
    x, y = pixel_grid((4, 6), 0.1, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"of square pixels, got 0\.1 x 0\.3 arcsec"):
        measure_pixels(x, 3 * y)


@pytest.mark.parametrize("far", [1e3, 3600.0, -1e4])
@pytest.mark.parametrize("scale", [0.05, 0.2])
def test_a_grid_far_from_0_is_as_regular_as_its_rounding_allows(far, scale):
    x, y = pixel_grid(64, scale, dtype=torch.float64)
    x, y = x + far, y - far / 3
    found, precision = measure_pixels(x.float(), y.float())
    assert found == pytest.approx(scale, rel=precision)
    assert precision < 2e-3
    assert measure_pixels(x, y)[0] == pytest.approx(scale, rel=1e-11)
    bent = x.float()
    bent[3, 4] += 0.2 * scale
    with pytest.raises(ValueError, match="must be regular"):
        measure_pixels(bent, y.float())


@pytest.mark.parametrize(("far", "scale"), [(1e5, 0.05), (1e6, 0.2)])
def test_a_grid_that_float32_does_not_hold_is_refused_as_such(far, scale):
    x, y = pixel_grid(64, scale, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"float32 rounds positions .* give the grid in float64"):
        measure_pixels((x + far).float(), y.float())
    assert measure_pixels(x + far, y)[0] == pytest.approx(scale, rel=1e-8)


@pytest.mark.parametrize("shape", [0, (3, 0), (-1, 3)])
def test_a_grid_without_pixels_is_refused(shape):
    with pytest.raises(ValueError, match="shape must have at least one pixel"):
        pixel_grid(shape, 0.1)


@pytest.mark.parametrize("scale", [0.0, -0.05, math.nan, math.inf])
def test_a_pixel_scale_that_is_not_a_length_is_refused(scale):
    with pytest.raises(ValueError, match="pixel_scale must be positive and finite"):
        pixel_grid(4, scale)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), 1])
def test_a_single_row_of_pixels_has_no_spacing(shape):
    with pytest.raises(ValueError, match="at least 2 pixels a side"):
        measure_pixels(*pixel_grid(shape, 0.1))


@pytest.mark.parametrize("shape", [64.0, (4.5, 3), (4,), (2, 3, 4), True, "64", None])
def test_a_grid_has_whole_numbers_of_pixels(shape):
    with pytest.raises(ValueError, match=r"^shape must be a whole number of pixels or two"):
        pixel_grid(shape, 0.05)


def test_a_number_of_pixels_may_be_numpys():
    assert pixel_grid(np.int64(4), np.float32(0.5))[0].shape == (4, 4)


@pytest.mark.parametrize("scale", ["0.05", None, [0.05]])
def test_a_pixel_scale_is_a_number(scale):
    with pytest.raises(ValueError, match=r"^pixel_scale must be positive and finite"):
        pixel_grid(4, scale)
