"""Spherical halo of Navarro, Frenk & White."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.kernels import launch
from lensphys.lengths import LEAST, MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST, MOST_STEEP
from lensphys.parameters import Parameter, parameter

#: Squared distance (arcsec^2) below which the logarithmic divergence of the centre is cut off.
R2_MIN = 1e-16
#: Least ``|1 - u|`` of the closed forms: below it they lose digits to ``0 / 0``, and a series is
#: used.
_NEAR = 0.2
#: Terms of that series: ``|m| < 0.056`` where it is used, so that the next is below 1e-17 (1e-8).
_TERMS = {torch.float64: 13, torch.float32: 6}


class Projection:
    """The functions of ``u = (R / Rs)^2 > 0`` that a projected NFW density is made of.

    Bartelmann 1996 (A&A 313, 697), section 3, for convergence and mass; Golse & Kneib 2002 (A&A
    390, 821), section 3, for the potential. Written such that neither small nor large ``u`` nor
    ``u = 1`` lose digits.
    """

    def __init__(self, u: Tensor) -> None:
        self.u, self.x, self.w = u, torch.sqrt(u), 1 - u
        self.near, inside = self.w.abs() < _NEAR, u < 1
        self.far_inside, self.far_outside = inside & ~self.near, ~(inside | self.near)
        #: ``ln(x / 2)``.
        self.log = torch.log(0.5 * self.x)

        # Far from u = 1. s keeps away from its root at 0, and every branch is finite for every u,
        # so that no infinite derivative of a branch not taken reaches the backward pass.
        self.far = torch.where(self.near, 0.5, self.w)
        self.s = torch.sqrt(self.far.abs())
        self.v = u.clamp_max(1.0) / (2 + 2 * self.s)
        self.p = torch.log1p(-self.v)  # what arccosh(1 / x) has beside -ln(x / 2)
        self.angle = torch.atan(1 / self.s)
        F_far = torch.where(inside, self.p - self.log, 0.5 * math.pi - self.angle) / self.s

        # Near it: the half-angle formula F = 2 / (1 + x) arctan(sqrt m) / sqrt m.
        m = (self.x - 1) / (self.x + 1)
        divisors = range(2 * _TERMS.get(u.dtype, 6) + 1, 2, -2)
        series = torch.full_like(m, 1 / divisors[0])
        for divisor in divisors[1:]:
            series = 1 / divisor - m * series
        kappa_near = (1 + 2 * series / (1 + self.x)) / (1 + self.x) ** 2
        #: ``arctanh(s) / s`` with ``s = sqrt(1 - u)``, ``arctan(s) / s`` with ``s = sqrt(u - 1)``.
        self.F = torch.where(self.near, 1 + self.w * kappa_near, F_far)
        self._kappa_near = kappa_near

    @property
    def kappa(self) -> Tensor:
        """Convergence ``(F - 1) / (1 - u)``."""
        return torch.where(self.near, self._kappa_near, (self.F - 1) / self.far)

    @property
    def mean(self) -> Tensor:
        """Half the mean convergence inside of R: ``(ln(x / 2) + F) / u``."""
        inside = (0.5 * self.p / self.v - self.log) / (self.s * (1 + self.s))
        return torch.where(self.far_inside, inside, (self.log + self.F) / self.u)

    @property
    def potential(self) -> Tensor:
        """Potential ``ln(x / 2)^2 - (1 - u) F^2``, which is 0 at the centre."""
        outside = self.log * self.log - self.w * self.F * self.F
        return torch.where(self.far_inside, self.p * (2 * self.log - self.p), outside)

    @property
    def excess(self) -> Tensor:
        """``2 F - pi / x``, which decays faster than its terms; for ``far_outside`` only."""
        return math.pi / (self.s * self.x * (self.s + self.x)) - 2 * self.angle / self.s


def spherical_hessian(
    x: Tensor, y: Tensor, r2: Tensor, scale: Tensor, mean: Tensor, kappa: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Hessian of a spherical lens from its convergence and the mean of it inside of R.

    With a tangential shear of ``mean - kappa`` (Miralda-Escude 1991, ApJ 370, 1). At the very
    centre, which has no direction, the Hessian is that of the convergence alone.
    """
    kappa, tangential = scale * kappa, scale * (mean - kappa) / r2
    gamma1, gamma2 = tangential * (y * y - x * x), -2 * tangential * x * y
    return kappa + gamma1, gamma2, kappa - gamma1


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class NFW(MassProfile):
    """Spherical halo of density ``rho ~ 1 / (r / Rs (1 + r / Rs)^2)``.

    Navarro, Frenk & White 1997 (ApJ 490, 493), eq. 1. The potential is 0 at the centre; the
    convergence, which diverges as ``-ln R``, is cut off at 1e-8 arcsec.

    Args:
        Rs: scale radius, arcsec.
        alpha_Rs: deflection at the scale radius, arcsec.
        center_x, center_y: centre, arcsec.
    """

    Rs: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST_STEEP)
    alpha_Rs: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        scale, Rs, _, _, r2 = self._geometry(x, y)
        return 0.5 * scale * Rs * Rs * Projection(r2 / (Rs * Rs)).potential

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scale, Rs, x, y, r2 = self._geometry(x, y)
        mean = scale * Projection(r2 / (Rs * Rs)).mean
        return x * mean, y * mean

    def sum_deflections(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Vector | None:
        """Sum over members; see :meth:`lensphys.mass.point_mass.PointMass.sum_deflections`."""
        p = self.align_members(x)
        scale, inverse2 = p["alpha_Rs"] / (p["Rs"] * (1 - math.log(2))), 1 / p["Rs"] ** 2
        at = p["center_x"], p["center_y"]
        shape = inverse2, R2_MIN * inverse2
        return launch.sum_population("nfw.add_deflections", x, y, mask, scale, *shape, *at)

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scale, Rs, x, y, r2 = self._geometry(x, y)
        halo = Projection(r2 / (Rs * Rs))
        return spherical_hessian(x, y, r2, scale, halo.mean, 0.5 * halo.kappa)

    def _geometry(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        # 4 rho_0 Rs over the critical density
        scale = p["alpha_Rs"] / (p["Rs"] * (1 - math.log(2)))
        return scale, p["Rs"], x, y, (x * x + y * y).clamp_min(R2_MIN)
