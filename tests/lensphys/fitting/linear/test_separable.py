"""Shapelets and grids of pixels as sources."""

import numpy as np
import pytest
import torch
from lenstronomy.LightModel.light_model import LightModel

from lensphys.fitting.linear.separable import PixelSource, ShapeletSource
from tests.lensphys.fitting.linear.scenes import amplitudes_of, params_of, pixels_of


@pytest.mark.parametrize("n_max", [1, 10, 20])
def test_shapelets_are_lenstronomys(n_max):
    pixels, source = pixels_of(), ShapeletSource(n_max)
    params = params_of(source.ranges)
    basis = source.evaluate(params, pixels.x, pixels.y).basis[0].flatten(1)
    at = pixels.x.numpy().ravel(), pixels.y.numpy().ravel()
    place = {name[7:]: params[name][0].item() for name in params}
    theirs = LightModel(["SHAPELETS"])
    for k in range(0, source.count, max(1, source.count // 12)):
        p = {"amp": np.eye(source.count)[k], "n_max": n_max, **place}
        np.testing.assert_allclose(
            basis[k], theirs.surface_brightness(*at, [p]), rtol=0, atol=1e-10
        )


def test_shapelets_of_high_order_are_regularised_more():
    roughness = ShapeletSource(3).roughness()
    assert torch.equal(roughness, roughness.diagonal().diag())
    assert roughness.diagonal().tolist() == [1, 4, 4, 9, 9, 9, 16, 16, 16, 16]


def test_pixels_are_interpolated_as_by_the_profile_that_they_become():
    pixels, source = pixels_of(), PixelSource(6)
    params, amplitudes = params_of(source.ranges), amplitudes_of(source)
    basis = source.evaluate(params, pixels.x, pixels.y).basis
    found = (amplitudes[:, :, None, None] * basis).sum(1)
    (profile,) = source.profiles(params, amplitudes)
    # Their reach beyond the grid is cut alike.
    torch.testing.assert_close(found, profile.surface_brightness(pixels.x, pixels.y))


def test_the_grid_is_as_wide_as_its_size():
    source = PixelSource(8)
    params = params_of(source.ranges)
    (profile,) = source.profiles(params, amplitudes_of(source))
    torch.testing.assert_close(8 * profile.pixel_scale, 2 * params["source_size"])


def test_the_roughness_of_pixels_is_their_squared_curvature():
    n = 5
    source = PixelSource(n)
    image = amplitudes_of(source)[0]
    grid = np.pad(image.reshape(n, n).numpy(), 1)
    inner = slice(1, -1)
    right = 0.0
    for axis in (0, 1):
        bend = 2 * grid - np.roll(grid, 1, axis) - np.roll(grid, -1, axis)
        right += (bend[inner, inner] ** 2).sum()
    found = image @ source.roughness() @ image
    assert found.item() == pytest.approx(right, rel=1e-12)
    assert torch.linalg.eigvalsh(source.roughness()).min() > 0
