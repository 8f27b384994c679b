"""Mean of a Sersic profile over a pixel: that of brute force, and the light of its label."""

import math

import numpy as np
import pytest
import torch

import lensphys as lp
from lensphys.light.base import gauss_legendre
from lensphys.light.sersic import b_n

WIDTH = 0.1

SHAPE = {"e1": 0.15, "e2": -0.1, "center_x": 0.013, "center_y": -0.021}


def integrate(x, y, width, R_sersic, n_sersic, e1, e2, center_x, center_y):
    """Mean over one pixel by squares that are halved again and again towards the centre."""
    b, norm = b_n(n_sersic), 1 - e1 * e1 - e2 * e2
    q = (1 - math.hypot(e1, e2)) / (1 + math.hypot(e1, e2))
    places, weights = np.polynomial.legendre.leggauss(8)
    weights = weights[:, None] * weights / 4

    def light(x, y, side, halvings):
        if halvings and math.hypot(x - center_x, y - center_y) < 1.5 * side / q:
            step = side / 4
            corners = ((x + i * step, y + j * step) for i in (-1, 1) for j in (-1, 1))
            return sum(light(*at, side / 2, halvings - 1) for at in corners)
        dx = x + side / 2 * places - center_x
        dy = (y + side / 2 * places - center_y)[:, None]
        u, v = (1 - e1) * dx - e2 * dy, (1 + e1) * dy - e2 * dx
        R = np.sqrt((u * u + v * v) / norm)
        brightness = np.exp(-b * ((R / R_sersic) ** (1 / n_sersic) - 1))
        return (weights * brightness).sum() * side**2

    return light(x, y, width, 14) / width**2


@pytest.mark.parametrize("n", [0.5, 4.0, 10.0])
@pytest.mark.parametrize("R_sersic", [WIDTH / 3, 1.0])
@pytest.mark.parametrize("q", [1.0, 0.3])
@pytest.mark.parametrize("center", [(0.0, 0.0), (0.05, 0.013)])
def test_the_mean_of_a_pixel_is_that_of_brute_force(n, R_sersic, q, center):
    modulus = (1 - q) / (1 + q)
    angle = {"e1": modulus * math.cos(0.8), "e2": modulus * math.sin(0.8)}
    shape = {"R_sersic": R_sersic, "n_sersic": n, **angle}
    shape |= dict(zip(("center_x", "center_y"), center, strict=True))
    x, y = lp.pixel_grid(9, WIDTH, dtype=torch.float64)
    found = lp.Sersic(amplitude=1.0, **shape).mean_brightness(x, y, WIDTH)
    places = [(4, 4), (4, 5), (3, 5), (6, 4), (8, 8)]
    expected = [integrate(x[at].item(), y[at].item(), WIDTH, **shape) for at in places]
    for at, value in zip(places, expected, strict=True):
        assert found[at].item() == pytest.approx(value, rel=3e-3, abs=1e-4 * max(expected))


@pytest.mark.parametrize("n", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("R_sersic", [1e-5, 0.03, 0.2])
def test_all_pixels_together_have_the_total_flux(n, R_sersic):
    x, y = lp.pixel_grid(401, WIDTH)
    galaxy = lp.Sersic(amplitude=1 / R_sersic**2, R_sersic=R_sersic, n_sersic=n, **SHAPE)
    total = lp.sersic_total_flux(galaxy.amplitude, R_sersic, n)
    found = galaxy.mean_brightness(x, y, WIDTH).double().sum().item() * WIDTH**2
    assert found == pytest.approx(total, rel=5e-3)


@pytest.mark.parametrize("n", [0.5, 0.8, 2.0, 6.0])
@pytest.mark.parametrize("R_sersic", [0.02, 0.3, 1.2])
def test_means_are_exact_to_a_small_part_of_the_brightest_pixel(n, R_sersic):
    x, y = lp.pixel_grid(41, WIDTH, dtype=torch.float64)
    light = lp.Sersic(amplitude=1.0, R_sersic=R_sersic, n_sersic=n, **SHAPE)
    means = light.mean_brightness(x, y, WIDTH)
    right = torch.zeros_like(means)
    for off_x, weight_x in zip(*gauss_legendre(8), strict=True):
        for off_y, weight_y in zip(*gauss_legendre(8), strict=True):
            at = x + off_x * WIDTH, y + off_y * WIDTH
            right += weight_x * weight_y * light.surface_brightness(*at)
    outside = torch.hypot(x, y) > 3 * WIDTH  # inside, brute force itself is not exact
    off, right = (means - right)[outside].abs(), right[outside]
    assert off.max() < 5e-4 * means.max()
    bright = right > 0.05 * means.max()
    assert (off[bright] < 0.005 * right[bright]).all()


def test_a_transform_takes_the_nearest_pixels():
    x, y = lp.pixel_grid((16, 31), WIDTH, dtype=torch.float64)
    n = torch.tensor([1.0, 4.0, 7.0], dtype=torch.float64)

    def image(n):
        return lp.Sersic(amplitude=1.0, R_sersic=0.5, n_sersic=n, **SHAPE).mean_brightness(
            x, y, WIDTH
        )

    torch.testing.assert_close(torch.func.vmap(image)(n), image(n), rtol=1e-2, atol=0)


@pytest.mark.parametrize("center", [0.0, 0.05, 0.013])
@pytest.mark.parametrize("n", [1.0, 4.0])
def test_gradients_are_right(n, center, check_gradients):
    x, y = lp.pixel_grid((5, 4), WIDTH, dtype=torch.float64)
    parameters = {"amplitude": 2.0, "R_sersic": 0.3, "n_sersic": n, "e1": 0.15, "e2": -0.1}
    parameters |= {"center_x": center, "center_y": center}
    check_gradients(lambda p: lp.Sersic(**p).mean_brightness(x, y, WIDTH), parameters)


def test_lens_light_of_a_rendered_image_has_its_flux_with_one_ray():
    """A de Vaucouleurs galaxy in the middle of a pixel: its ray there has 4.6 times the light."""
    x, y = lp.pixel_grid(301, WIDTH, dtype=torch.float64)
    galaxy = lp.Sersic(amplitude=1.0, R_sersic=0.3, n_sersic=4.0)
    dark = lp.Sersic(amplitude=0.0, R_sersic=0.1, n_sersic=1.0)
    lens = lp.ThinLens([lp.SIE(theta_E=1.0)])
    image = lp.render(lens, dark, x, y, lens_light=galaxy)
    fine = lp.render(lens, dark, x, y, lens_light=galaxy, supersampling=2)
    mean = integrate(0.0, 0.0, WIDTH, 0.3, 4.0, 0.0, 0.0, 0.0, 0.0) * WIDTH**2
    assert image[150, 150].item() == pytest.approx(mean, rel=1e-5)
    torch.testing.assert_close(image, fine, rtol=4e-3, atol=0)
    assert image.sum().item() == pytest.approx(lp.sersic_total_flux(1.0, 0.3, 4.0), rel=5e-3)
    rays = lp.render(lens, dark, x, y, lens_light=galaxy, integrate_cores=False)
    assert rays[150, 150].item() > 4 * mean


@pytest.mark.parametrize("batch", [(), (2,)], ids=["one", "batch"])
def test_the_jacobian_of_the_mean_is_close_to_its_derivative(batch):
    x, y = lp.pixel_grid(24, WIDTH, dtype=torch.float64)
    parameters = {"amplitude": 2.0, "R_sersic": 0.3, "n_sersic": 4.0, "e1": 0.15, "e2": -0.1}
    parameters |= {"center_x": 0.013, "center_y": -0.02}
    if batch:
        factors = torch.tensor([1.0, 1.1], dtype=torch.float64)
        parameters = {name: value * factors for name, value in parameters.items()}
    galaxy = lp.Sersic(**parameters)
    mean, slopes = galaxy.mean_brightness_jacobian(x, y, WIDTH)
    torch.testing.assert_close(mean, galaxy.mean_brightness(x, y, WIDTH), rtol=0, atol=0)
    for name, value in parameters.items():
        step = 1e-5
        ends = [
            lp.Sersic(**(parameters | {name: value + sign * step})).mean_brightness(x, y, WIDTH)
            for sign in (1, -1)
        ]
        right = (ends[0] - ends[1]) / (2 * step)
        worst = (slopes[name] - right).abs().max() / right.abs().max()
        assert worst < (0.05 if name == "n_sersic" else 0.01)
        middle = (slopes[name] - right)[..., :8, :].abs().max() / right.abs().max()
        assert middle < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_of_grids_is_its_members(dtype):
    x, y = lp.pixel_grid(12, WIDTH, dtype=dtype)
    move = torch.tensor([0.0, 0.4], dtype=dtype)[:, None, None]
    galaxy = lp.Sersic(amplitude=1.0, R_sersic=0.3, n_sersic=4.0, **SHAPE)
    both = galaxy.mean_brightness(x + move, y - move, WIDTH)
    for i in range(2):
        alone = galaxy.mean_brightness(x + move[i], y - move[i], WIDTH)
        torch.testing.assert_close(both[i], alone, rtol=1e-6, atol=0)
