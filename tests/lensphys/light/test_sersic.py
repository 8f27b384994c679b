"""Sersic profile."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LightModel.light_model import LightModel
from scipy.integrate import quad
from scipy.special import gammainc

from lensphys import Sersic, pixel_grid, sersic_total_flux
from lensphys.light.sersic import b_n
from tests.lensphys.jacobians import assert_jacobian, forward, sersic

SOURCE = {
    "amplitude": 20.0,
    "R_sersic": 0.25,
    "n_sersic": 1.0,
    "e1": -0.1,
    "e2": 0.1,
    "center_x": 0.1,
    "center_y": -0.2,
}

ELLIPTICITIES = {
    "round": (0.0, 0.0),
    "nearly round": (6e-4, -8e-4),
    "elliptical": (-0.1, 0.25),
    "flat": (0.72, -0.54),
}

INDICES = [0.5, 1.0, 4.0, 10.0]


@st.composite
def sersic_parameters(draw):
    modulus = draw(st.sampled_from([0.0, 1e-4, 1e-3]) | st.floats(0, 0.9))
    angle = draw(st.floats(0, 2 * math.pi))
    return {
        "amplitude": draw(st.floats(0.1, 100)),
        "R_sersic": draw(st.floats(0.05, 3)),
        "n_sersic": draw(st.floats(0.5, 10)),
        "e1": modulus * math.cos(angle),
        "e2": modulus * math.sin(angle),
        "center_x": draw(st.floats(-1, 1)),
        "center_y": draw(st.floats(-1, 1)),
    }


def in_lenstronomy(parameters):
    return {("amp" if name == "amplitude" else name): v for name, v in parameters.items()}


@settings(max_examples=50, deadline=None)
@given(parameters=sersic_parameters())
def test_a_sersic_is_lenstronomys_sersic_ellipse(parameters):
    x, y = pixel_grid((11, 14), 0.31, dtype=torch.float64)
    # The first pixel sits at the very centre, where both are cut off.
    x[0, 0], y[0, 0] = parameters["center_x"], parameters["center_y"]
    theirs = LightModel(["SERSIC_ELLIPSE"]).surface_brightness(
        x.numpy().ravel(), y.numpy().ravel(), [in_lenstronomy(parameters)]
    )
    ours = Sersic(**parameters).surface_brightness(x, y).flatten()
    # Far out in a steep profile, exp(-500) has lost digits to the rounding of its exponent.
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-100)


@pytest.mark.parametrize("n", INDICES)
@pytest.mark.parametrize(("e1", "e2"), ELLIPTICITIES.values(), ids=ELLIPTICITIES)
def test_the_total_flux_is_lenstronomys(e1, e2, n):
    parameters = SOURCE | {"n_sersic": n, "e1": e1, "e2": e2}
    (theirs,) = LightModel(["SERSIC_ELLIPSE"]).total_flux([in_lenstronomy(parameters)])
    assert sersic_total_flux(20.0, 0.25, n) == pytest.approx(theirs, rel=1e-12)


def flux_inside(limit, n):
    """Light of a round source inside ``limit`` half-light radii, by numeric integration."""
    # So wide that the core, which lacks the light of the cusp, is far below its resolution.
    R_sersic = 1e4
    source = Sersic(amplitude=1.0, R_sersic=R_sersic, n_sersic=n)

    def ring(t):  # the profile is smooth in t = (R / R_sersic)^(1/n)
        at = torch.tensor([[R_sersic * t**n]], dtype=torch.float64)
        return 2 * math.pi * n * t ** (2 * n - 1) * source.surface_brightness(at, 0 * at).item()

    return quad(ring, 0, limit ** (1 / n), epsrel=1e-11, limit=200)[0]


@pytest.mark.parametrize("n", INDICES)
def test_the_total_flux_is_the_integral_of_the_profile(n):
    to_infinity = flux_inside((50 / b_n(n) + 10) ** n, n)
    assert sersic_total_flux(1.0, 1.0, n) == pytest.approx(to_infinity, rel=1e-9)


@pytest.mark.parametrize("n", INDICES)
def test_half_of_the_light_is_inside_the_half_light_radius(n):
    fraction = flux_inside(1.0, n) / sersic_total_flux(1.0, 1.0, n)
    assert fraction == pytest.approx(gammainc(2 * n, b_n(n)), rel=1e-9)
    # The linear fit of b_n is good from n = 1 on, and rough below.
    assert fraction == pytest.approx(0.5, abs=3e-3 if n >= 1 else 4e-2)


@pytest.mark.parametrize(("e1", "e2"), ELLIPTICITIES.values(), ids=ELLIPTICITIES)
def test_the_flux_does_not_depend_on_the_ellipticity(e1, e2):
    # A Gaussian (n = 0.5): the sum over pixels is then its integral to all digits.
    x, y = pixel_grid(700, 0.02, dtype=torch.float64)
    source = Sersic(amplitude=3.0, R_sersic=0.3, n_sersic=0.5, e1=e1, e2=e2)
    flux = source.surface_brightness(x, y).sum().item() * 0.02**2
    assert flux == pytest.approx(sersic_total_flux(3.0, 0.3, 0.5), rel=1e-7)


@pytest.mark.parametrize(("e1", "e2"), ELLIPTICITIES.values(), ids=ELLIPTICITIES)
def test_the_amplitude_is_the_brightness_on_the_half_light_ellipse(e1, e2):
    modulus, phi = math.hypot(e1, e2), 0.5 * math.atan2(e2, e1)
    q, t = (1 - modulus) / (1 + modulus), torch.linspace(0, 2 * math.pi, 33, dtype=torch.float64)
    along, across = 0.4 / math.sqrt(q) * torch.cos(t), 0.4 * math.sqrt(q) * torch.sin(t)
    x = along * math.cos(phi) - across * math.sin(phi)
    y = along * math.sin(phi) + across * math.cos(phi)
    source = Sersic(amplitude=7.0, R_sersic=0.4, n_sersic=2.0, e1=e1, e2=e2)
    torch.testing.assert_close(
        source.surface_brightness(x[None], y[None]),
        torch.full_like(x, 7.0)[None],
        rtol=1e-13,
        atol=0,
    )


def test_b_n_is_lenstronomys_fit():
    assert [b_n(n) for n in (0.5, 1.0, 4.0)] == pytest.approx([0.6725, 1.6721, 7.6697], rel=1e-14)


@pytest.mark.parametrize("n", INDICES)
@pytest.mark.parametrize(("e1", "e2"), ELLIPTICITIES.values(), ids=ELLIPTICITIES)
def test_sersic_gradients_are_right(e1, e2, n, check_gradients):
    x, y = pixel_grid((2, 3), 0.31, dtype=torch.float64)
    parameters = SOURCE | {"amplitude": 1.0, "R_sersic": 0.6, "e1": e1, "e2": e2}
    parameters["n_sersic"] = min(max(n, 0.501), 9.999)  # differences must not leave the range

    def brightness(p):
        return Sersic(**{k: p[k] for k in parameters}).surface_brightness(p["x"], p["y"])

    check_gradients(brightness, parameters | {"x": x, "y": y})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", INDICES)
@pytest.mark.parametrize(("e1", "e2"), ELLIPTICITIES.values(), ids=ELLIPTICITIES)
def test_values_and_gradients_are_finite_at_the_centre_and_on_the_axes(e1, e2, n, dtype, gradients):
    x, y = pixel_grid((5, 7), 0.1, dtype=dtype)
    parameters = SOURCE | {"n_sersic": n, "e1": e1, "e2": e2, "center_x": 0.0, "center_y": 0.0}

    def brightness(p):
        return Sersic(**{k: p[k] for k in parameters}).surface_brightness(p["x"], p["y"])

    found = gradients(brightness, parameters | {"x": x, "y": y}, dtype)
    assert all(torch.isfinite(gradient).all() for gradient in found.values())


def test_every_sersic_parameter_has_a_gradient(grid, gradients):
    found = gradients(lambda p: Sersic(**p).surface_brightness(*grid), SOURCE)
    assert all(gradient.abs() > 1e-6 for gradient in found.values())


@pytest.mark.parametrize("name", SOURCE)
def test_a_batch_of_sources_is_its_members_one_by_one(name, grid):
    batch = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64) * SOURCE[name]
    together = Sersic(**(SOURCE | {name: batch})).surface_brightness(*grid)
    single = [Sersic(**(SOURCE | {name: v.item()})).surface_brightness(*grid) for v in batch]
    assert [image.shape for image in single] == [(5, 7)] * 3
    torch.testing.assert_close(together, torch.stack(single), rtol=1e-14, atol=0)


LIGHTS = {
    "disk": sersic(n_sersic=1.0),
    "cusp": sersic(n_sersic=4.0),
    "faint core": sersic(n_sersic=0.6),
    "round Sersic": sersic(e1=0.0, e2=0.0),
    # A pixel sits at the origin: here in the flat core.
    "in the flat core": sersic(center_x=3e-5, center_y=-2e-5),
    "at the very centre": sersic(center_x=0.0, center_y=0.0),
    "no light": sersic(amplitude=0.0),
}


@pytest.mark.parametrize("parameters", LIGHTS.values(), ids=LIGHTS)
def test_the_jacobian_of_light_is_its_forward_derivative(parameters, grid):
    assert_jacobian(Sersic, parameters, *grid, forward)


@pytest.mark.parametrize("n", [0.5, 0.7, 1.0, 1.5, 4.0, 10.0])
def test_half_of_the_light_is_inside_R_sersic_over_the_whole_range(n):
    inside = gammainc(2 * n, b_n(n))
    assert inside == pytest.approx(0.5, abs=0.011 if n < 1 else 2.5e-3)


@pytest.mark.parametrize("n", [0.3, 0.499, 10.1])
def test_an_index_for_which_the_formula_fails_is_refused(n):
    with pytest.raises(ValueError, match=r"^n_sersic must be finite and in \[0\.5, 10\]"):
        Sersic(amplitude=1.0, R_sersic=1.0, n_sersic=n)
    with pytest.raises(ValueError, match=r"^n_sersic must be finite and in \[0\.5, 10\]"):
        sersic_total_flux(1.0, 1.0, n)
