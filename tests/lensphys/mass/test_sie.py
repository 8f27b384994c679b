"""Singular isothermal ellipsoid."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from lenstronomy.LensModel.Profiles import sie as their_sie

from lensphys import SIE, pixel_grid
from tests.lensphys import jacobians
from tests.lensphys.jacobians import ANGLES, assert_jacobian, forward
from tests.lensphys.mass.profiles import points_around, sie, sies


@settings(max_examples=25, deadline=None)
@given(parameters=sies())
def test_an_sie_agrees_with_lenstronomys_default_up_to_its_core(parameters):
    x, y = points_around(parameters)
    r = np.hypot(x - parameters["center_x"], y - parameters["center_y"])
    theirs = their_sie.SIE().derivatives(x.numpy(), y.numpy(), **parameters)
    for ours, alpha in zip(SIE(**parameters).deflection(x, y), theirs, strict=True):
        error = np.abs(ours - alpha) / parameters["theta_E"]
        assert (error < 1e-8 + 1.1e-10 / r).all()


@pytest.mark.parametrize("ellipticity", [0.0, 2e-3, 0.01, 0.05, 0.3])
def test_single_precision_serves_the_curvature_of_an_sie(ellipticity):
    """The closed form of the derivatives divides by the ellipticity, once for each order."""
    x, y = pixel_grid(32, 0.1, dtype=torch.float64)
    found = []
    for dtype in (torch.float64, torch.float32):
        e1 = torch.tensor(ellipticity, dtype=dtype, requires_grad=True)
        alpha = SIE(theta_E=1.0, e1=e1, e2=0.0).deflection(x.to(dtype) + 0.01, y.to(dtype))
        total = (alpha[0] * x.to(dtype).sin() + alpha[1] * y.to(dtype)).sum()
        slope = torch.autograd.grad(total, e1, create_graph=True)[0]
        found.append(torch.stack([slope, torch.autograd.grad(slope, e1)[0]]).double())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=0)


def test_gradients_pass_smoothly_from_the_series_to_the_closed_form(grid, gradients):
    below, above = (
        gradients(lambda p: SIE(**p).deflection(*grid), sie(modulus))
        for modulus in (1e-3 * (1 - 1e-9), 1e-3 * (1 + 1e-9))
    )
    for name in below:
        torch.testing.assert_close(below[name], above[name], rtol=1e-9, atol=1e-10)


def test_an_sie_at_q_1_is_an_sis(grid):
    x, y = grid
    profile = SIE(theta_E=1.3, center_x=0.2, center_y=-0.1)
    r = torch.hypot(x - 0.2, y + 0.1)
    expected = 1.3 * (x - 0.2) / r, 1.3 * (y + 0.1) / r
    torch.testing.assert_close(profile.deflection(x, y), expected, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(profile.potential(x, y), 1.3 * r, rtol=1e-14, atol=1e-15)


@settings(max_examples=25, deadline=None)
@given(parameters=sies())
def test_the_convergence_of_an_sie_is_half_its_einstein_radius_over_the_elliptical_one(parameters):
    x, y = points_around(parameters)
    modulus = math.hypot(parameters["e1"], parameters["e2"])
    phi, q = math.atan2(parameters["e2"], parameters["e1"]) / 2, (1 - modulus) / (1 + modulus)
    dx, dy = x - parameters["center_x"], y - parameters["center_y"]
    along = dx * math.cos(phi) + dy * math.sin(phi)
    across = dy * math.cos(phi) - dx * math.sin(phi)
    expected = parameters["theta_E"] / (2 * torch.sqrt(q * along**2 + across**2 / q))
    psi_xx, _, psi_yy = SIE(**parameters).hessian(x, y)
    torch.testing.assert_close((psi_xx + psi_yy) / 2, expected, rtol=1e-11, atol=0)


@pytest.mark.parametrize("modulus", [0.0, 1e-4, 0.3, 0.9])
def test_the_mass_inside_the_einstein_ellipse_does_not_depend_on_the_axis_ratio(modulus):
    # Gauss's theorem around the isodensity contour R = theta_E: pi theta_E^2.
    t = torch.arange(4096, dtype=torch.float64) * (2 * math.pi / 4096)
    root_q = math.sqrt((1 - modulus) / (1 + modulus))
    x, y = 1.2 / root_q * torch.cos(t), 1.2 * root_q * torch.sin(t)
    dx, dy = -1.2 / root_q * torch.sin(t), 1.2 * root_q * torch.cos(t)
    alpha_x, alpha_y = (a[0] for a in SIE(theta_E=1.2, e1=modulus).deflection(x[None], y[None]))
    outflow = (alpha_x * dy - alpha_y * dx).mean().item() * 2 * math.pi
    assert outflow / 2 == pytest.approx(math.pi * 1.2**2, rel=1e-10)


@pytest.mark.parametrize(
    ("modulus", "precision"), [(0.5, 2e-6), (0.9, 5e-6), (0.99, 5e-5), (0.9999**0.5 - 1e-6, 1e-2)]
)
def test_the_rounding_of_float32_is_all_that_a_flat_sie_suffers(modulus, precision):
    x, y = pixel_grid((64, 48), 0.05, dtype=torch.float32)
    angle = torch.linspace(0, 2 * math.pi, 13, dtype=torch.float64)[:-1]
    ellipticity = {"e1": modulus * torch.cos(angle), "e2": modulus * torch.sin(angle)}
    profile = SIE(theta_E=1.0, center_x=0.0117, center_y=-0.0131, **ellipticity)
    narrow, wide = profile.deflection(x, y), profile.deflection(x.double(), y.double())
    for found, expected in zip(narrow, wide, strict=True):
        assert (found.double() - expected).abs().max() < precision


#: The closed form changes to power series below ellipticities of 1e-3 and 0.03.
JACOBIANS = {
    "round SIE": jacobians.sie(0.0),
    "almost round SIE": jacobians.sie(1e-7),
    **{
        f"SIE of ellipticity {modulus} at angle {angle}": jacobians.sie(modulus, angle)
        for modulus in (0.999e-3, 1.001e-3, 0.02999, 0.03001, 0.3, 0.9)
        for angle in ANGLES
    },
    "SIE along x": jacobians.sie(0.3, 0.0, center_y=0.0),
    "SIE along y": jacobians.sie(0.3, math.pi, center_x=0.0),
    "SIE without mass": jacobians.sie(0.3) | {"theta_E": 0.0},
}


@pytest.mark.parametrize("parameters", JACOBIANS.values(), ids=JACOBIANS)
def test_the_jacobian_of_a_deflection_is_its_forward_derivative(parameters, grid):
    assert_jacobian(SIE, parameters, *grid, forward)
