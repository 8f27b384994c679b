"""NFW halos, whole and truncated, against more digits, lenstronomy, and their own density."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lenstronomy.LensModel.Profiles import tnfw as their_tnfw
from scipy.integrate import quad

from lensphys import NFW, TNFW

#: Radii in Rs: over thirteen decades, and closely around 1, where the closed forms are 0 / 0.
RADII = np.concatenate(
    [
        np.geomspace(1e-8, 1e5, 40),
        1 + np.array([0, 1e-12, -1e-12, 1e-9, -1e-9, 1e-5, -1e-5, 1e-3, -1e-3, 0.03, -0.03]),
        # Where the series takes over, from both sides.
        np.sqrt([0.8 - 1e-9, 0.8 + 1e-9, 1.2 - 1e-9, 1.2 + 1e-9]),
    ]
)
TAUS = [1e-3, 0.05, 0.3, 1.0, 1 + 1e-9, 5.0, 100.0, 1e4]


def exact(x, tau=math.inf):
    """Half the mean convergence, the convergence and the potential of ``4 rho_0 Rs = 1``.

    The formulas as they are printed, with so many digits that their cancellation does not matter.
    """
    with mp.workdps(100):
        x, u = mp.mpf(x), mp.mpf(x) ** 2
        s = mp.sqrt(abs(1 - u))
        F = mp.mpf(1) if x == 1 else (mp.atanh(s) if x < 1 else mp.atan(s)) / s
        single = mp.mpf(1) / 3 if x == 1 else (F - 1) / (1 - u)
        if tau == math.inf:
            mass, kappa = mp.log(x / 2) + F, single
            psi = mp.log(x / 2) ** 2 - (1 - u) * F**2
        else:
            tau, t2 = mp.mpf(tau), mp.mpf(tau) ** 2
            q = mp.sqrt(t2 + u)
            L, scale = mp.log(x / (tau + q)), t2 / (1 + t2) ** 2
            mass = (t2 + 1 + 2 * (u - 1)) * F + tau * mp.pi + (t2 - 1) * mp.log(tau)
            mass = scale * (mass + q * (-mp.pi + (t2 - 1) / tau * L))
            kappa = (t2 + 1) * single + 2 * F - mp.pi / q + (t2 - 1) / (tau * q) * L
            kappa = scale * kappa
            psi = 2 * mp.pi * (tau - q + tau * mp.log(tau + q)) + 2 * (t2 - 1) / tau * q * L
            psi += (t2 - 1) * L**2 + 4 * (u - 1) * F - (t2 - 1) * (1 - u) * F**2
            psi += 2 * ((t2 - 1) * mp.log(tau) - t2 - 1) * mp.log(x)
            psi -= (t2 - 1) * mp.log(tau) * mp.log(4 * tau) + 2 * mp.log(tau / 2)
            psi = scale * (psi + 2 * tau * (tau - mp.pi) * mp.log(2 * tau))
        return float(mass / u), float(kappa) / 2, float(psi) / 2


def halo(tau, dtype=torch.float64):
    """A halo of ``Rs = 1`` and ``4 rho_0 Rs = 1``."""
    scale = torch.tensor(1 - math.log(2), dtype=torch.float64)
    if tau == math.inf:
        return NFW(Rs=1.0, alpha_Rs=scale)
    return TNFW(Rs=1.0, alpha_Rs=scale, r_trunc=torch.tensor(tau, dtype=torch.float64))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 2e-14), (torch.float32, 5e-6)])
@pytest.mark.parametrize("tau", [*TAUS, math.inf])
def test_a_halo_has_all_its_digits_at_every_radius(tau, dtype, precision):
    x = torch.tensor(RADII, dtype=dtype)[None]
    y = torch.zeros_like(x)
    rounded = float(torch.tensor(tau, dtype=dtype))
    mean, kappa, psi = np.array([exact(r, rounded) for r in x[0].tolist()]).T
    profile = halo(rounded)
    alpha, _ = profile.deflection(x, y)
    np.testing.assert_allclose(alpha[0].double(), mean * x[0].double().numpy(), rtol=precision)
    np.testing.assert_allclose(profile.potential(x, y)[0].double(), psi, rtol=precision)
    psi_xx, psi_xy, psi_yy = (component[0].double().numpy() for component in profile.hessian(x, y))
    # Against the larger of both: far outside the convergence is that of almost no matter.
    np.testing.assert_allclose(psi_yy, mean, rtol=precision)
    assert (np.abs(psi_xx - (2 * kappa - mean)) < precision * (mean + kappa)).all()
    assert (psi_xy == 0).all()


@pytest.mark.parametrize("tau", [0.3, 5.0, 100.0, math.inf])
def test_the_gradients_of_a_halo_are_good_to_1e_10_around_its_scale_radius(tau):
    # The series against the exact closed form, differentiated with 100 digits.
    radii = 1 + np.array(
        [0.0, 1e-12, 1e-9, -1e-9, 1e-6, -1e-4, 0.02, -0.05, 0.0954, 0.0955, -0.106]
    )
    x = torch.tensor(radii)[None].requires_grad_()
    psi_xx, _, psi_yy = halo(tau).hessian(x, torch.zeros_like(x))
    alpha, _ = halo(tau).deflection(x, torch.zeros_like(x))
    for found, which in ((alpha, 0), (psi_xx + psi_yy, 1)):
        (gradient,) = torch.autograd.grad(found.sum(), x, retain_graph=True)
        for r, slope in zip(radii, gradient[0].tolist(), strict=True):
            # A five-point rule of step 1e-2 around points up to 0.1 from the 0 / 0.
            def value(r, which=which):
                return exact(r, tau)[which] * (r if which == 0 else 2)

            h = 4e-3
            rule = (
                (-4, 3),
                (-3, -32),
                (-2, 168),
                (-1, -672),
                (1, 672),
                (2, -168),
                (3, 32),
                (4, -3),
            )
            expected = sum(w * value(r + k * h) for k, w in rule) / (840 * h)
            assert slope == pytest.approx(expected, rel=1e-10, abs=1e-11)


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


def test_alpha_Rs_is_the_deflection_at_the_scale_radius():
    at = torch.full((1, 1), 0.7, dtype=torch.float64)
    alpha_x, alpha_y = NFW(Rs=0.7, alpha_Rs=0.2).deflection(at, 0 * at)
    assert alpha_x.item() == pytest.approx(0.2, rel=1e-14)
    assert alpha_y.item() == 0


@pytest.mark.parametrize("tau", [0.05, 1.0, 20.0])
def test_the_mass_of_a_truncated_halo_is_finite(tau):
    # Baltz, Marshall & Oguri 2009: tau^2 / (tau^2 + 1)^2 ((tau^2 - 1) ln tau + tau pi - tau^2 - 1).
    mass = (tau**2 - 1) * math.log(tau) + tau * math.pi - (tau**2 + 1)
    mass *= tau**2 / (tau**2 + 1) ** 2
    r = torch.tensor([[1e7 * tau]], dtype=torch.float64)
    alpha, _ = halo(tau).deflection(r, 0 * r)
    assert (alpha * r).item() == pytest.approx(mass, rel=1e-6)


@pytest.mark.parametrize("tau", [5.0, math.inf])
def test_the_convergence_of_a_halo_is_cut_off_at_the_very_centre(tau):
    at = torch.tensor([[0.0, 1e-9, 1e-8]], dtype=torch.float64)
    psi_xx, psi_xy, psi_yy = halo(tau).hessian(at, 0 * at)
    kappa = (psi_xx + psi_yy)[0] / 2
    torch.testing.assert_close(kappa, kappa[2].expand(3), rtol=1e-12, atol=0)
    assert 4 < kappa[0] < 10
    assert (psi_xy == 0).all()


@pytest.mark.parametrize(("name", "bad"), [("Rs", 0.0), ("r_trunc", 0.0), ("alpha_Rs", -0.1)])
def test_a_halo_without_extent_or_of_negative_mass_is_refused(name, bad):
    with pytest.raises(ValueError, match=f"^{name} must be finite and in "):
        TNFW(**({"Rs": 0.1, "alpha_Rs": 0.1, "r_trunc": 1.0} | {name: bad}))
