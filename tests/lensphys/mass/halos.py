"""Projected halos with a hundred digits."""

import math

import mpmath as mp
import numpy as np
import pytest
import torch

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


def assert_all_digits(tau, dtype, precision):
    """A halo has its digits at every radius, in a precision."""
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


def assert_gradients_around_the_scale_radius(tau):
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


def assert_cut_off_at_the_centre(tau):
    at = torch.tensor([[0.0, 1e-9, 1e-8]], dtype=torch.float64)
    psi_xx, psi_xy, psi_yy = halo(tau).hessian(at, 0 * at)
    kappa = (psi_xx + psi_yy)[0] / 2
    torch.testing.assert_close(kappa, kappa[2].expand(3), rtol=1e-12, atol=0)
    assert 4 < kappa[0] < 10
    assert (psi_xy == 0).all()
