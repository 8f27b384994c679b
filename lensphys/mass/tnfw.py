"""Truncated halo of Navarro, Frenk & White, such as a tidally stripped subhalo."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.arrays import is_traced
from lensphys.kernels import launch
from lensphys.lengths import LEAST, MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST, MOST_STEEP
from lensphys.mass.nfw import R2_MIN, Projection, spherical_hessian
from lensphys.parameters import Parameter, parameter

#: Truncation radius in Rs from which on a halo is an NFW, to the rounding of a precision: squares
#: of it stay finite.
_UNTRUNCATED = {torch.float64: 1e100, torch.float32: 1e15}
#: Largest one that the loop over many halos is written for.
_MOST_SUMMED = 1e6


def _relative(r_trunc: Tensor, Rs: Tensor) -> Tensor:
    """Truncation radius in units of Rs."""
    return torch.minimum(r_trunc, _UNTRUNCATED.get(Rs.dtype, 1e15) * Rs) / Rs


class TruncatedProjection:
    """Projection of ``tau^2 / (tau^2 + r^2) / (r (1 + r)^2)`` at ``u = R^2``, in units of Rs.

    Baltz, Marshall & Oguri 2009 (JCAP 01, 015), appendix A, for n = 1. Their terms cancel each
    other at small R, where the sum is smaller by ``R^2``, and at large R, by ``R^3``; here what
    cancels is left out:

    - with ``q = sqrt(tau^2 + u)`` as ``tau + d``, ``d = u / (tau + q)``, and ``L = ln(x / (tau +
      q))`` as ``ln(x / 2) - ln(tau) - P``, ``P = ln(1 + d / 2 tau)``, every term is of order ``u``;
    - with ``2 F - pi / x`` for F far outside of Rs, none grows with R.
    """

    def __init__(self, u: Tensor, tau: Tensor) -> None:
        self.halo = Projection(u)
        self.tau, self.tau2 = tau, tau * tau
        self.q = torch.sqrt(u + self.tau2)
        self.sum = tau + self.q
        x = self.halo.x
        #: ``-arcsinh(tau / x)``.
        self.L = -torch.log1p(tau * (1 + tau / (self.q + x)) / x)
        self.P = torch.log1p(u / (2 * tau * self.sum))
        self.scale = (tau / (self.tau2 + 1)) ** 2
        # scale (tau2 - 1) and scale (tau2 + 1) without numbers so large that gradients overflow.
        self.whole = self.tau2 / (self.tau2 + 1)
        self.lesser = self.whole * ((self.tau2 - 1) / (self.tau2 + 1))

    @property
    def mean(self) -> Tensor:
        """Half the mean convergence inside of R, in NFW's unit."""
        inner = self.halo.mean - self.P / self.halo.u + self.L / (self.tau * self.sum)
        return self.lesser * inner + self.scale * self._remainder

    @property
    def kappa(self) -> Tensor:
        """Convergence, in NFW's unit."""
        halo, q = self.halo, self.q
        outside = halo.excess + math.pi * self.tau2 / (halo.x * q * (halo.x + q))
        remainder = torch.where(halo.far_outside, outside, 2 * halo.F - math.pi / q)
        logarithm = self.lesser * self.L / (self.tau * q)
        return self.whole * halo.kappa + logarithm + self.scale * remainder

    @property
    def potential(self) -> Tensor:
        """Potential, in NFW's unit; 0 at the centre."""
        halo, L, P = self.halo, self.L, self.P
        delta = 2 * halo.u / (self.tau * self.sum)
        inner = halo.potential - P * (2 * L + P + 2) + delta * L
        outer = 2 * halo.u * (self._remainder - 2 * halo.mean) + 2 * math.pi * self.tau * P
        return self.lesser * inner + self.scale * outer

    @property
    def _remainder(self) -> Tensor:
        """``2 F - pi d / u``."""
        halo, tau = self.halo, self.tau
        shift = (halo.x + halo.u / self.sum) * tau / (halo.x + self.q)
        outside = halo.excess + math.pi * shift / halo.u
        return torch.where(halo.far_outside, outside, 2 * halo.F - math.pi / self.sum)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class TNFW(MassProfile):
    """Spherical halo, ``rho ~ 1 / (r / Rs (1 + r / Rs)^2) * r_trunc^2 / (r_trunc^2 + r^2)``.

    Baltz, Marshall & Oguri 2009 (JCAP 01, 015), eq. 3 with n = 1. The potential is 0 at the centre;
    the convergence, which diverges as ``-ln R``, is cut off at 1e-8 arcsec. lenstronomy cuts
    everything off at ``1e-3 Rs``.

    Args:
        Rs: scale radius, arcsec.
        alpha_Rs: deflection at the scale radius, arcsec, that the halo has without truncation.
        r_trunc: truncation radius, arcsec; as large as is wanted, for a halo without truncation.
        center_x, center_y: centre, arcsec.
    """

    Rs: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST_STEEP)
    alpha_Rs: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    r_trunc: Parameter = parameter(unit="arcsec", low=10 * LEAST)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        scale, Rs, tau, _, _, r2 = self._geometry(x, y)
        return 0.5 * scale * Rs * Rs * TruncatedProjection(r2 / (Rs * Rs), tau).potential

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scale, Rs, tau, x, y, r2 = self._geometry(x, y)
        mean = scale * TruncatedProjection(r2 / (Rs * Rs), tau).mean
        return x * mean, y * mean

    def sum_deflections(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Vector | None:
        """Sum over members; see :meth:`lensphys.mass.point_mass.PointMass.sum_deflections`."""
        p = self.align_members(x)
        tau, inverse2 = _relative(p["r_trunc"], p["Rs"]), 1 / p["Rs"] ** 2
        if tau.numel() and not is_traced(tau) and bool((tau.detach() > _MOST_SUMMED).any()):
            return None
        scale = p["alpha_Rs"] / (p["Rs"] * (1 - math.log(2))) * (tau / (tau * tau + 1)) ** 2
        shape = inverse2, R2_MIN * inverse2, tau, torch.log(tau)
        at = p["center_x"], p["center_y"]
        return launch.sum_population("tnfw.add_deflections", x, y, mask, scale, *shape, *at)

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scale, Rs, tau, x, y, r2 = self._geometry(x, y)
        halo = TruncatedProjection(r2 / (Rs * Rs), tau)
        return spherical_hessian(x, y, r2, scale, halo.mean, 0.5 * halo.kappa)

    def _geometry(
        self, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        # 4 rho_0 Rs over the critical density
        scale = p["alpha_Rs"] / (p["Rs"] * (1 - math.log(2)))
        tau = _relative(p["r_trunc"], p["Rs"])
        return scale, p["Rs"], tau, x, y, (x * x + y * y).clamp_min(R2_MIN)
