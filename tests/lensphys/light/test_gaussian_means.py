"""Means of Gaussians over pixels."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lensphys import Gaussian, pixel_grid
from lensphys.light.base import gauss_legendre
from lensphys.light.gaussian_means import count_mean_points, gaussian_means

SHAPE = {"sigma": 0.6, "e1": -0.2, "e2": 0.15}


def by_brute_force(light, x, y, width):
    """The mean over as many parts of each pixel as its narrow axis asks for, 12 x 12 points each.

    One row of parts after another, for the memory.
    """
    modulus = math.hypot(light.e1, light.e2)
    narrow = light.sigma * math.sqrt((1 - modulus) / (1 + modulus))
    parts = max(1, math.ceil(width / (3 * narrow)))
    places, weights = (torch.tensor(v, dtype=torch.float64) for v in gauss_legendre(12))
    middles = (torch.arange(parts) + 0.5) / parts - 0.5
    offsets = ((middles[:, None] + places / parts) * width).flatten()
    weights = (weights / parts).repeat(parts)
    total = torch.zeros_like(x)
    for off_y, weight_y in zip(offsets, weights, strict=True):
        row = light.surface_brightness((x[..., None] + offsets), (y + off_y)[..., None])
        total = total + weight_y * (weights * row).sum(-1)
    return total


@settings(max_examples=60, deadline=None)
@example(sigma=2.51, modulus=0.0, angle=0.0, center_x=0.0, center_y=0.0, dtype=torch.float64)
@given(
    sigma=st.floats(0.01, 6),
    modulus=st.sampled_from([0.0, 1e-4]) | st.floats(0, 0.8),
    angle=st.floats(0, 2 * math.pi),
    center_x=st.floats(-0.5, 0.5),
    center_y=st.floats(-0.5, 0.5),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_the_mean_over_a_pixel_is_right_to_a_millionth_of_the_peak(
    sigma, modulus, angle, center_x, center_y, dtype
):
    x, y = pixel_grid((5, 4), 1.0, dtype=torch.float64)
    shape = {"e1": modulus * math.cos(angle), "e2": modulus * math.sin(angle)}
    # As narrow as the quadrature of brute force can follow in time.
    sigma = max(sigma, 0.05 * (1 + 8 * modulus**3))
    light = Gaussian(amp=2.0, sigma=sigma, **shape, center_x=center_x, center_y=center_y)
    right = by_brute_force(light, x, y, 1.0)
    found = light.mean_brightness(x.to(dtype), y.to(dtype), 1.0)
    assert found.dtype == dtype
    # Single precision rounds the differences of error functions.
    precision = 1.2e-6 if dtype == torch.float64 else 3e-6
    assert (found - right).abs().max() < precision * right.max()


@pytest.mark.parametrize("sigma", [1e-6, 1e-3, 0.06])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_point_source_fills_one_pixel(sigma, dtype):
    x, y = pixel_grid(5, 2.0, dtype=dtype)
    light = Gaussian(amp=3.0, sigma=sigma, e1=0.3, e2=-0.2, center_x=0.4, center_y=-2.2)
    expected = torch.zeros(5, 5, dtype=dtype)
    expected[1, 2] = 3.0 / 2.0**2
    torch.testing.assert_close(light.mean_brightness(x, y, 2.0), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("e1", "e2"), [(1e-3, 0.0), (0.2, -0.1), (-0.4, 0.5), (1e-3, 0.6)])
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 4.0])
def test_gradients_of_means_are_right(e1, e2, sigma, check_gradients):
    x, y = pixel_grid((2, 3), 1.0, dtype=torch.float64)
    points = count_mean_points(1.0, torch.tensor(sigma), e1, e2)

    def means(p):
        return gaussian_means(p["x"], p["y"], 1.0, p["sigma"], p["e1"], p["e2"], points)

    check_gradients(means, {"x": x + 0.03, "y": y - 0.07, "sigma": sigma, "e1": e1, "e2": e2})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1e-5, 0.3, 30.0])
@pytest.mark.parametrize("far", [0.0, 1e3, 1e15])
def test_means_and_their_gradients_are_finite_everywhere(dtype, sigma, far, gradients):
    x, y = pixel_grid((5, 7), 0.1, dtype=dtype)
    p = {"amp": 1.0, "sigma": sigma, "e1": 0.6, "e2": -0.7, "center_x": 0.0, "center_y": far}
    found = gradients(lambda p: Gaussian(**p).mean_brightness(x, y, 0.1), p, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


def test_wide_gaussians_need_no_quadrature_and_narrow_ones_more_points():
    counts = [count_mean_points(1.0, torch.tensor(s), 0.3, 0.2) for s in (9.0, 1.0, 0.3, 0.05)]
    assert counts[0] == 0
    assert counts == sorted(set(counts))
    # That of a batch is that of its narrowest member.
    assert count_mean_points(1.0, torch.tensor([9.0, 0.05]), 0.3, 0.2) == counts[-1]


def test_the_mean_is_that_of_many_points_under_a_transform():
    x, y = pixel_grid((5, 7), 0.3, dtype=torch.float64)
    sigma = torch.tensor([0.1, 0.4, 2.0]).double()

    def mean(sigma):
        return Gaussian(amp=1.0, sigma=sigma, e1=-0.2, e2=0.1).mean_brightness(x, y, 0.3)

    torch.testing.assert_close(torch.func.vmap(mean)(sigma), mean(sigma), rtol=0, atol=1e-7)
    _, slope = torch.func.jvp(mean, (sigma,), (torch.ones_like(sigma),))
    expected = (mean(sigma + 1e-5) - mean(sigma - 1e-5)) / 2e-5
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-5)
