"""Truncated halo of Navarro, Frenk & White."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import tnfw as their_tnfw
from scipy.integrate import quad

from lensphys import NFW, TNFW
from tests.lensphys.mass.halos import (
    TAUS,
    assert_all_digits,
    assert_cut_off_at_the_centre,
    assert_gradients_around_the_scale_radius,
    halo,
)


@settings(max_examples=15, deadline=None)
@given(tau=st.floats(0.05, 100), x=st.floats(1e-3, 30))
def test_the_convergence_of_a_truncated_halo_is_its_projected_density(tau, x):
    def density(t):  # along the line of sight z = x sinh(t)
        r = x * math.cosh(t)
        return tau**2 / (tau**2 + r * r) / (r * (1 + r) ** 2) * r

    projected = 2 * quad(density, 0, 40, epsabs=0, epsrel=1e-11, limit=400)[0]
    at = torch.tensor([[x]], dtype=torch.float64)
    psi_xx, _, psi_yy = halo(tau).hessian(at, torch.zeros_like(at))
    # kappa = rho_0 Rs times the projection, and 4 rho_0 Rs = 1
    assert (psi_xx + psi_yy).item() / 2 == pytest.approx(projected / 4, rel=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    Rs=st.floats(0.01, 2),
    alpha_Rs=st.floats(1e-3, 1),
    tau=st.floats(0.05, 100),
    centre=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_a_truncated_halo_is_lenstronomys(Rs, alpha_Rs, tau, centre):
    parameters = {"Rs": Rs, "alpha_Rs": alpha_Rs, "r_trunc": tau * Rs}
    parameters |= {"center_x": centre[0], "center_y": centre[1]}
    z = np.geomspace(0.05 * Rs, 300 * Rs, 12)[:, None] * np.exp(1j * np.array([0.0, 0.4, 2, 3.7]))
    x, y = z.real + centre[0], z.imag + centre[1]
    theirs, profile = their_tnfw.TNFW(), TNFW(**parameters)
    grid = torch.from_numpy(x), torch.from_numpy(y)
    found, expected = profile.potential(*grid).numpy(), theirs.function(x, y, **parameters)
    expected = expected - expected[0, 0] + found[0, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * alpha_Rs * Rs)
    for alpha, their_alpha in zip(
        profile.deflection(*grid), theirs.derivatives(x, y, **parameters), strict=True
    ):
        np.testing.assert_allclose(alpha, their_alpha, rtol=1e-8, atol=1e-8 * alpha_Rs)
    xx, xy, _, yy = theirs.hessian(x, y, **parameters)
    for psi, their_psi in zip(profile.hessian(*grid), (xx, xy, yy), strict=True):
        np.testing.assert_allclose(psi, their_psi, rtol=1e-8, atol=1e-8 * alpha_Rs / Rs)


def test_a_halo_truncated_very_far_out_is_an_nfw(grid):
    whole = {"Rs": 0.4, "alpha_Rs": 0.3, "center_x": 0.02, "center_y": 0.05}
    truncated = TNFW(**whole, r_trunc=1e7)
    torch.testing.assert_close(
        truncated.deflection(*grid), NFW(**whole).deflection(*grid), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(
        truncated.hessian(*grid), NFW(**whole).hessian(*grid), rtol=1e-6, atol=1e-9
    )


def test_gradients_of_a_heavy_halo_truncated_very_far_out_are_those_of_an_nfw():
    x, y = torch.tensor([[1e-3, 1.0, 9e6]]), torch.tensor([[0.0, 0.3, 0.0]])
    found = []
    for cls, rest in ((NFW, {}), (TNFW, {"r_trunc": torch.tensor(1e30)})):
        Rs, alpha_Rs = (torch.tensor(v, requires_grad=True) for v in (1e3, 1e5))
        potential = cls(Rs=Rs, alpha_Rs=alpha_Rs, **rest).potential(x, y)
        found.append(torch.stack(torch.autograd.grad(potential.sum(), (Rs, alpha_Rs))))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("tau", [0.05, 1.0, 20.0])
def test_the_mass_of_a_truncated_halo_is_finite(tau):
    # Baltz, Marshall & Oguri 2009: tau^2 / (tau^2 + 1)^2 ((tau^2 - 1) ln tau + tau pi - tau^2 - 1).
    mass = (tau**2 - 1) * math.log(tau) + tau * math.pi - (tau**2 + 1)
    mass *= tau**2 / (tau**2 + 1) ** 2
    r = torch.tensor([[1e7 * tau]], dtype=torch.float64)
    alpha, _ = halo(tau).deflection(r, 0 * r)
    assert (alpha * r).item() == pytest.approx(mass, rel=1e-6)


@pytest.mark.parametrize(("name", "bad"), [("Rs", 0.0), ("r_trunc", 0.0), ("alpha_Rs", -0.1)])
def test_a_halo_without_extent_or_of_negative_mass_is_refused(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        TNFW(**({"Rs": 0.1, "alpha_Rs": 0.1, "r_trunc": 1.0} | {name: bad}))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 2e-14), (torch.float32, 5e-6)])
@pytest.mark.parametrize("tau", TAUS)
def test_a_halo_has_all_its_digits_at_every_radius(tau, dtype, precision):
    assert_all_digits(tau, dtype, precision)


@pytest.mark.parametrize("tau", [0.3, 5.0, 100.0])
def test_the_gradients_of_a_halo_are_good_to_1e_10_around_its_scale_radius(tau):
    assert_gradients_around_the_scale_radius(tau)


def test_the_convergence_of_a_halo_is_cut_off_at_the_very_centre():
    assert_cut_off_at_the_centre(5.0)
