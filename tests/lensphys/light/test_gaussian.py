"""Elliptical Gaussian profile."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LightModel.light_model import LightModel

from lensphys import Gaussian, Sersic, pixel_grid
from lensphys.light.base import LightProfile

GAUSSIAN = {"amp": 3.0, "sigma": 0.4, "e1": -0.1, "e2": 0.15, "center_x": 0.1, "center_y": -0.2}


def theirs(name, x, y, **parameters):
    light = LightModel([name])
    return light.surface_brightness(x.numpy().ravel(), y.numpy().ravel(), [parameters])


@settings(max_examples=25, deadline=None)
@given(
    amp=st.floats(0.1, 100),
    sigma=st.floats(0.02, 3),
    modulus=st.sampled_from([0.0, 1e-4]) | st.floats(0, 0.95),
    angle=st.floats(0, 2 * math.pi),
    center_x=st.floats(-1, 1),
)
def test_a_gaussian_is_lenstronomys_gaussian_ellipse(amp, sigma, modulus, angle, center_x):
    x, y = pixel_grid((11, 14), 0.31, dtype=torch.float64)
    e1, e2 = modulus * math.cos(angle), modulus * math.sin(angle)
    p = {"amp": amp, "sigma": sigma, "e1": e1, "e2": e2, "center_x": center_x, "center_y": 0.1}
    found = Gaussian(**p).surface_brightness(x, y).flatten()
    # Far out the exponent, in the hundreds, has lost digits to rounding.
    np.testing.assert_allclose(found, theirs("GAUSSIAN_ELLIPSE", x, y, **p), 1e-10, amp * 1e-30)


@pytest.mark.parametrize(("e1", "e2"), [(0.0, 0.0), (0.3, -0.2)])
def test_the_flux_of_a_gaussian_is_its_amplitude(e1, e2):
    x, y = pixel_grid(200, 0.05, dtype=torch.float64)
    light = Gaussian(amp=3.0, sigma=0.4, e1=e1, e2=e2, center_x=0.1)
    assert light.surface_brightness(x, y).sum().item() * 0.05**2 == pytest.approx(3.0, rel=1e-12)


def test_a_sersic_of_index_one_half_is_a_gaussian(grid):
    # exp(-b r^2 / R^2) with b = 0.6725 has the standard deviation R / sqrt(2 b).
    b, shape = 0.6725, {"e1": 0.2, "e2": -0.1, "center_x": 0.05}
    sersic = Sersic(amplitude=1.0, R_sersic=0.7, n_sersic=0.5, **shape).surface_brightness(*grid)
    sigma = 0.7 / math.sqrt(2 * b)
    amp = 2 * math.pi * sigma**2 * math.exp(b)
    found = Gaussian(amp=amp, sigma=sigma, **shape).surface_brightness(*grid)
    torch.testing.assert_close(found, sersic, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("e1", "e2"), [(0.0, 0.0), (1e-4, 0.0), (-0.1, 0.25), (0.72, -0.54)])
def test_gaussian_gradients_are_right(e1, e2, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    p = GAUSSIAN | {"e1": e1, "e2": e2}
    check_gradients(
        lambda p: Gaussian(**{k: p[k] for k in GAUSSIAN}).surface_brightness(p["x"], p["y"]),
        p | {"x": x, "y": y},
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gaussian_is_smooth_at_its_centre(dtype, gradients):
    x, y = pixel_grid((5, 7), 0.1, dtype=dtype)
    p = dict.fromkeys(GAUSSIAN, 0.0) | {"amp": 1.0, "sigma": 0.05}
    found = gradients(lambda p: Gaussian(**p).surface_brightness(x, y), p, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


@pytest.mark.parametrize("far", [0.0, 1e30])
def test_the_jacobian_in_closed_form_is_that_of_automatic_derivatives(far):
    x, y = pixel_grid((5, 7), 0.1, dtype=torch.float64)
    batch = torch.tensor([0.05, 0.1, 0.2]).double()
    for changed in ({}, {"amp": 0.0}, {"sigma": batch}, {"e2": batch, "center_x": 2 * batch}):
        light = Gaussian(**GAUSSIAN | changed)
        value, jacobian = light.surface_brightness_jacobian(x + far, y)
        right, expected = LightProfile.surface_brightness_jacobian(light, x + far, y)
        torch.testing.assert_close(value, right, rtol=1e-12, atol=1e-30)
        assert list(jacobian) == list(expected) == list(Gaussian.parameter_names())
        for name, slope in expected.items():
            torch.testing.assert_close(jacobian[name], slope, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("name", "bad"), [("sigma", 0.0), ("sigma", -1.0), ("amp", -0.1)])
def test_a_bad_gaussian_is_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        Gaussian(**(GAUSSIAN | {name: bad}))
