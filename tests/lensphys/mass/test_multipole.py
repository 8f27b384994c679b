"""Multipole of the angular structure of a lens."""

import functools
import math

import pytest
import torch

from lensphys import Multipole, pixel_grid
from lensphys.mass.multipole import CartesianMultipole
from tests.lensphys.jacobians import assert_finite_jacobian, assert_jacobian, forward


@pytest.mark.parametrize("m", [2, 3, 4, 7])
def test_a_multipole_is_symmetric_under_a_turn_by_its_order(m):
    x, y = pixel_grid((5, 6), 0.3, dtype=torch.float64)
    profile, turn = Multipole(m=m, a_m=0.1, phi_m=0.4), 2 * math.pi / m
    sky = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    torch.testing.assert_close(
        profile.potential(*sky), profile.potential(x, y), rtol=1e-13, atol=1e-15
    )


@pytest.mark.parametrize("m", [2, 3, 4])
def test_a_multipole_has_its_amplitude_in_the_direction_of_its_angle(m):
    x, y = (
        torch.tensor([[2 * math.cos(0.4)]]).double(),
        torch.tensor([[2 * math.sin(0.4)]]).double(),
    )
    xx, _, yy = Multipole(m=m, a_m=0.1, phi_m=math.atan2(y.item(), x.item())).hessian(x, y)
    assert ((xx + yy) / 2).item() == pytest.approx(0.1 / (2 * 2), rel=1e-7)


def test_the_radius_of_a_multipole_matters_for_the_dipole_alone(grid):
    def deflection(m, r_E):
        return torch.stack(Multipole(m=m, a_m=0.1, phi_m=0.4, r_E=r_E).deflection(*grid))

    assert torch.equal(deflection(3, 1.0), deflection(3, 2.0))
    difference = deflection(1, 1.0) - deflection(1, math.e)
    direction = torch.tensor([math.cos(0.4), math.sin(0.4)], dtype=torch.float64)
    expected = (0.05 * direction)[:, None, None].expand_as(difference)
    torch.testing.assert_close(difference, expected, rtol=0, atol=1e-15)


def test_no_multipole_deflects_its_very_centre():
    centre = torch.full((1, 1), 0.25, dtype=torch.float64)
    for m in (2, 3, 4):
        profile = Multipole(m=m, a_m=0.1, phi_m=0.3, center_x=0.25, center_y=0.25)
        assert profile.deflection(centre, centre) == (0, 0)


@pytest.mark.parametrize("m", [1, 3, 4])
@pytest.mark.parametrize("method", ["potential", "deflection", "hessian"])
def test_two_amplitudes_are_an_amplitude_and_an_angle(m, method, grid):
    shared = {"m": m, "center_x": 0.07, "center_y": -0.05, "r_E": 1.3}
    polar = Multipole(a_m=0.1, phi_m=0.4, **shared)
    both = CartesianMultipole(
        a_cos=0.1 * math.cos(0.4 * m), a_sin=0.1 * math.sin(0.4 * m), **shared
    )
    found, expected = (getattr(profile, method)(*grid) for profile in (both, polar))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("m", [1, 3, 4])
def test_the_closed_form_jacobian_of_two_amplitudes_is_the_derivative(m, grid):
    given = {"a_cos": 0.08, "a_sin": -0.05, "center_x": 0.07, "center_y": -0.05, "r_E": 1.3}
    assert_jacobian(functools.partial(CartesianMultipole, m=m), given, *grid, forward)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_amplitudes_have_finite_derivatives_without_a_multipole_and_at_its_centre(dtype):
    x, y = pixel_grid((5, 7), 0.31, dtype=dtype)
    assert_finite_jacobian(CartesianMultipole(m=3, a_cos=0.0, a_sin=0.0), x, y)
