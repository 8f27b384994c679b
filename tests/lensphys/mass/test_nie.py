"""Non-singular isothermal ellipsoid."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import nie as their_nie

from lensphys import NIE, SIE
from tests.lensphys.mass.rays import angles, assert_relative, lens, moduli, rays


@settings(max_examples=25, deadline=None)
@given(modulus=moduli, angle=angles)
def test_an_nie_of_a_vanishing_core_approaches_an_sie(modulus, angle):
    parameters = lens(modulus, angle)
    x, y = rays(parameters, low=0.1)
    isothermal = SIE(**parameters).deflection(x, y)
    q = (1 - modulus) / (1 + modulus)
    for s_scale in (1e-4, 1e-6, 1e-9):
        # At first order in s_scale / R, whose smallest value is on the major axis.
        softened = NIE(s_scale=s_scale, **parameters).deflection(x, y)
        assert_relative(softened, isothermal, 3 * s_scale / (0.1 * math.sqrt(q)) + 1e-12)
    sharp = NIE(s_scale=1e-12, **parameters)
    assert_relative(sharp.hessian(x, y), SIE(**parameters).hessian(x, y), 1e-9)


@settings(max_examples=25, deadline=None)
@given(modulus=st.floats(1e-3, 0.9), angle=angles, s_scale=st.floats(1e-3, 3))
def test_the_convergence_of_an_nie_is_lenstronomys(modulus, angle, s_scale):
    parameters = lens(modulus, angle, s_scale=s_scale)
    x, y = rays(parameters)
    b, s, q, phi = their_nie.NIE().param_conv(1.2, parameters["e1"], parameters["e2"], s_scale)
    turned = np.exp(-1j * phi) * ((x - 0.07) + 1j * (y + 0.05)).numpy()
    kappa = their_nie.NIEMajorAxis.kappa(turned.real, turned.imag, b, s, q)
    xx, _, yy = NIE(**parameters).hessian(x, y)
    assert_relative([(xx + yy) / 2], [kappa], 1e-12)


def test_an_nie_at_q_1_has_the_deflection_of_a_softened_sphere(grid):
    x, y = grid[0] - 0.2, grid[1] + 0.1
    profile = NIE(theta_E=1.3, s_scale=0.4, center_x=0.2, center_y=-0.1)
    r2 = x**2 + y**2
    factor = 1.3 * (torch.sqrt(0.4**2 + r2) - 0.4) / r2
    assert_relative(profile.deflection(*grid), (factor * x, factor * y), 1e-13)
