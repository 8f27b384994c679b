"""Columns of a linear model in windows, beside those of whole images."""

import pytest
import torch

import lensphys as lp
from lensphys.fitting.linear import windows
from lensphys.fitting.linear.columns import Columns
from tests.lensphys.fitting.linear.scenes import SCALE, params_of, problem_of, scene_of
from tests.lensphys.fitting.linear.scenes import pixels_of as small_pixels

EVERY = torch.arange(2)
#: Far enough from the lens that its source lights a part of the images alone.
SHAPE = (64, 80)


def pixels_of(psf, dtype=torch.float64, supersampling=1):
    return small_pixels(SHAPE, psf, supersampling, dtype)


def kernel_of(dtype=torch.float64):
    offset = torch.arange(-4.0, 5.0, dtype=dtype)
    kernel = torch.exp(-0.5 * (offset[:, None] ** 2 + 0.7 * offset**2 + 0.3 * offset))
    return lp.PixelPSF(kernel, pixel_scale=SCALE, normalise=True)


def columns_of(scene, pixels):
    generator = torch.Generator().manual_seed(1)
    shape = (2, *pixels.shape)
    images = torch.randn(shape, generator=generator, dtype=torch.float64).to(pixels.x)
    weight = (1 + torch.rand(shape, generator=generator, dtype=torch.float64)).to(pixels.x)
    parts = scene.evaluate(params_of(scene.names, pixels.x.dtype), pixels)
    return Columns.collect(parts, images, weight, SCALE**2), images, weight


@pytest.fixture(params=["shapelets", "pixels"])
def both(request, monkeypatch):
    """Columns of a scene with windows, and without."""
    psf = kernel_of()
    pixels = pixels_of(psf)
    scene = scene_of(pixels, request.param, "two ellipses", 0)
    monkeypatch.setattr(windows, "_SMALL", 0)
    monkeypatch.setattr(windows, "_LARGEST", 1.0)
    found, images, weight = columns_of(scene, pixels)
    monkeypatch.setattr(windows, "_SMALL", 10**9)
    return found, columns_of(scene, pixels)[0], images, weight, scene


def test_windows_change_nothing(both):
    found, right, _, _, scene = both
    assert not found.parts[0].window.is_whole
    assert right.parts[0].window.is_whole
    scale = right.normal.diagonal(dim1=1, dim2=2).sqrt()
    off = (found.normal - right.normal).abs() / (scale[:, :, None] * scale[:, None])
    assert off.max() < 1e-12
    assert ((found.projection - right.projection).abs() / scale).max() < 1e-11
    generator = torch.Generator().manual_seed(2)
    amplitudes = torch.randn(right.projection.shape, generator=generator, dtype=torch.float64)
    for name, argument in (
        ("combine", (amplitudes,)),
        ("differentiate", (amplitudes, scene.names)),
        ("find_slopes", (amplitudes,)),
        ("list_all", ()),
    ):
        own, whole = (getattr(columns, name)(*argument) for columns in (found, right))
        assert (own - whole).abs().max() < 1e-11 * whole.abs().max(), name
    dual = torch.randn(found.list_all().shape, generator=generator, dtype=torch.float64)
    own, whole = (columns.weigh(dual) for columns in (found, right))
    assert own.keys() == whole.keys() == set(scene.names)
    for name, value in whole.items():
        torch.testing.assert_close(own[name], value, rtol=1e-9, atol=1e-9)


def test_columns_are_blurred_maps_over_the_noise(both):
    found, right, images, weight, _ = both
    pixels = pixels_of(kernel_of())
    basis = torch.cat([part.join(2) for part in right.parts], 1)
    dense = (pixels.collect(basis) * weight[:, None]).flatten(2)
    torch.testing.assert_close(found.list_all().flatten(2), dense, rtol=0, atol=1e-13)
    data = (images * weight).flatten(1)
    torch.testing.assert_close(found.normal, dense @ dense.mT, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        found.projection, (dense @ data[..., None])[..., 0], rtol=1e-9, atol=1e-10
    )
    rows = torch.stack([images, weight], 1)
    torch.testing.assert_close(
        found.project(rows), rows.flatten(2) @ dense.mT, rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("supersampling", [1, 2])
def test_fits_with_windows_have_the_same_equations(dtype, supersampling, monkeypatch):
    psf = kernel_of(dtype)
    pixels = pixels_of(psf, dtype, supersampling)
    problem, z = problem_of(scene_of(pixels, "shapelets", "two ellipses", 0), pixels, dtype=dtype)
    found = []
    for small in (0, 10**9):
        monkeypatch.setattr(windows, "_SMALL", small)
        found.append(problem.equations(z, EVERY))
    rounding = 1e-14 if dtype == torch.float64 else 2e-7
    for own, right, loss in zip(*found, (100, 30, 300), strict=True):
        assert (own - right).abs().max() < loss * rounding * right.abs().max()
