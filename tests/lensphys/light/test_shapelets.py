"""Shapelets."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LightModel.light_model import LightModel

from lensphys import Shapelets, pixel_grid
from lensphys.light.base import LightProfile
from lensphys.light.shapelets import count_shapelets, hermite_functions, list_orders

PLACE = {"beta": 0.3, "center_x": 0.1, "center_y": -0.2}


@settings(max_examples=20, deadline=None)
@given(
    n_max=st.integers(0, 20),
    beta=st.floats(0.02, 3),
    center_x=st.floats(-1, 1),
    seed=st.integers(0, 9),
)
def test_shapelets_are_those_of_lenstronomy(n_max, beta, center_x, seed):
    x, y = pixel_grid((11, 14), 0.31, dtype=torch.float64)
    amp = np.random.default_rng(seed).normal(size=count_shapelets(n_max))
    p = {"amp": amp, "n_max": n_max, "beta": beta, "center_x": center_x, "center_y": 0.1}
    found = Shapelets(**p).surface_brightness(x, y).flatten()
    right = LightModel(["SHAPELETS"]).surface_brightness(x.numpy().ravel(), y.numpy().ravel(), [p])
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-10 * np.abs(amp).sum())


def test_the_sequence_of_orders_goes_from_x_to_y():
    assert list_orders(2) == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    assert len(list_orders(10)) == count_shapelets(10) == 66


def test_shapelets_are_orthonormal():
    # The rectangle rule is exact to rounding for what is band-limited and fades.
    u = torch.arange(-16, 16, 0.1, dtype=torch.float64)
    functions = hermite_functions(u, 60)
    torch.testing.assert_close(0.1 * functions @ functions.T, torch.eye(61, dtype=u.dtype))


def test_a_gaussian_off_the_centre_is_its_expansion():
    # exp(-(u - a)^2 / 2) has the coefficients sqrt(sqrt(pi) / n!) (a / sqrt 2)^n exp(-a^2 / 4).
    x, y = pixel_grid(40, 0.1, dtype=torch.float64)
    a, b = 0.6, -0.4

    def coefficient(n, shift):
        return math.sqrt(math.sqrt(math.pi) / math.factorial(n)) * (
            (shift / math.sqrt(2)) ** n * math.exp(-shift * shift / 4)
        )

    amp = [coefficient(n1, a) * coefficient(n2, b) for n1, n2 in list_orders(24)]
    found = Shapelets(amp=amp, n_max=24, beta=0.5).surface_brightness(x, y)
    u, v = x / 0.5 - a, y / 0.5 - b
    torch.testing.assert_close(found, torch.exp(-0.5 * (u * u + v * v)), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [1e3, 1e30])
def test_far_away_shapelets_are_dark(dtype, far):
    x = torch.tensor([[far, -far]], dtype=dtype, requires_grad=True)
    light = Shapelets(amp=torch.ones(231), n_max=20, **PLACE).surface_brightness(x, x)
    assert (light == 0).all()
    light.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_single_precision_is_exact_to_its_rounding():
    x, y = pixel_grid(32, 0.1, dtype=torch.float64)
    light = Shapelets(amp=torch.ones(861), n_max=40, **PLACE)
    exact, found = light.basis(x, y), light.basis(x.float(), y.float())
    assert (found - exact).abs().max() < 2e-5


def test_shapelet_gradients_are_right(check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    amp = torch.linspace(-1, 1, 6, dtype=torch.float64)

    def brightness(p):
        light = Shapelets(amp=p["amp"], n_max=2, **{name: p[name] for name in PLACE})
        return light.surface_brightness(p["x"], p["y"])

    check_gradients(brightness, PLACE | {"x": x, "y": y, "amp": amp})


def test_a_batch_holds_the_maps_of_its_members():
    x, y = pixel_grid((5, 6), 0.2, dtype=torch.float64)
    amp, beta = torch.rand(3, 10, dtype=torch.float64), torch.tensor([0.2, 0.3, 0.5]).double()
    together = Shapelets(amp=amp, n_max=3, beta=beta)
    assert together.batch_shape == (3,)
    assert together.basis(x, y).shape == (3, 10, 5, 6)
    for k in range(3):
        alone = Shapelets(amp=amp[k], n_max=3, beta=beta[k]).surface_brightness(x, y)
        torch.testing.assert_close(together.surface_brightness(x, y)[k], alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize("n_max", [0, 1, 7])
def test_the_jacobian_in_closed_form_is_that_of_automatic_derivatives(n_max):
    x, y = pixel_grid((5, 6), 0.2, dtype=torch.float64)
    amp = torch.rand(3, count_shapelets(n_max), dtype=torch.float64) - 0.5
    batch = torch.tensor([0.2, 0.3, 0.5]).double()
    moved = x + batch[:, None, None]
    for changed, at in (({"beta": batch}, x), ({"center_y": batch, "amp": amp[1]}, x), ({}, moved)):
        light = Shapelets(**(PLACE | {"amp": amp, "n_max": n_max} | changed))
        value, jacobian = light.surface_brightness_jacobian(at, y)
        right, expected = LightProfile.surface_brightness_jacobian(light, at, y)
        torch.testing.assert_close(value, right, rtol=1e-12, atol=1e-13)
        assert list(jacobian) == list(expected) == ["beta", "center_x", "center_y"]
        for name, slope in expected.items():
            torch.testing.assert_close(jacobian[name], slope, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"n_max": -1}, "n_max must be a whole number from 0 to 60"),
        ({"n_max": True}, "n_max must be a whole number from 0 to 60"),
        ({"n_max": 61}, "n_max must be a whole number from 0 to 60"),
        ({"amp": [1.0, 2.0]}, "amp must hold 10 values, got 2"),
        ({"amp": 1.0}, "amp must be a tensor or an array"),
        ({"amp": [math.nan] * 10}, "amp must be finite"),
        ({"beta": 0.0}, "beta must be finite and in "),
        ({"amp": torch.ones(2, 10), "beta": torch.ones(3)}, "must share one batch"),
    ],
)
def test_bad_shapelets_are_refused_by_name(bad, message):
    with pytest.raises(ValueError, match=message):
        Shapelets(**({"amp": [1.0] * 10, "n_max": 3, "beta": 0.3} | bad))
