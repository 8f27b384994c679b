"""Elliptical coordinates that are smooth at the circular limit."""

import math

import pytest
import torch

from lensphys.ellipticity import elliptical_radius, stretch

PHI = 0.4


@pytest.mark.parametrize("modulus", [0.0, 1e-6, 0.3, 0.9])
def test_positions_are_stretched_along_the_axes_of_the_ellipse(modulus, grid):
    x, y = grid
    e1, e2 = (torch.tensor(modulus * f(2 * PHI)).double() for f in (math.cos, math.sin))
    q = (1 - modulus) / (1 + modulus)
    along, across = x * math.cos(PHI) + y * math.sin(PHI), y * math.cos(PHI) - x * math.sin(PHI)
    u, v = 2 / (1 + q) * q * along, 2 / (1 + q) * across
    expected = u * math.cos(PHI) - v * math.sin(PHI), u * math.sin(PHI) + v * math.cos(PHI)
    torch.testing.assert_close(stretch(x, y, e1, e2), expected, rtol=1e-6, atol=1e-7)
    radius = torch.sqrt(q * along**2 + across**2 / q)
    found = elliptical_radius(x, y, e1, e2, floor=0.0)
    torch.testing.assert_close(found, radius, rtol=1e-6, atol=1e-7)


def test_the_radius_has_a_floor_and_gradients_at_the_circular_limit(grid):
    x, y = grid
    e = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    radius = elliptical_radius(x, y, *e, floor=0.01)
    assert radius.min() == 0.01
    (gradient,) = torch.autograd.grad((radius * (x + 1)).sum(), e)
    assert torch.isfinite(gradient).all()
