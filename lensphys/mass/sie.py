"""Singular isothermal ellipsoid."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from lensphys.ellipticity import elliptical_radius, stretched
from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter, parameter

#: Below this ellipticity the power series of ``atan(sqrt u) / sqrt u`` is used: with six terms it
#: is exact to 1e-19, and it has the gradient at q = 1 that the closed form lacks.
_SERIES_BELOW = 1e-3
#: Softening of the convergence at the centre, arcsec; lenstronomy's SIE has the same core.
_CORE = 1e-10


def sie_deflection(
    x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of a SIE at the origin.

    The isothermal case (t = 1) of Tessore & Metcalf 2015 (A&A 580, A79), eq. 13, written in the
    complex stretched position ``W``: ``alpha = theta_E sqrt(1 - |e|^2) W/|W| T(conj(e) W^2/|W|^2)``
    with ``T(u) = 2F1(1, 1/2; 3/2; -u) = atan(sqrt u) / sqrt u``.
    """
    wx, wy = stretched(x, y, e1, e2)
    w2 = wx * wx + wy * wy
    inverse = torch.rsqrt(w2.clamp_min(_CORE**2))
    wx, wy = wx * inverse, wy * inverse
    tx, ty = stretched_arctan(wx, wy, e1, e2)
    scale = theta_E * torch.sqrt(1 - e1 * e1 - e2 * e2)
    return scale * tx, scale * ty


def stretched_arctan(
    wx: Tensor, wy: Tensor, e1: Tensor, e2: Tensor, w2: Tensor | float = 1.0
) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of ``w T(conj(e) w^2)`` for ``|w|^2 = w2``, at most 1."""
    e = e1 * e1 + e2 * e2
    elliptical = e > _SERIES_BELOW**2

    # sqrt(u) = sqrt(|e|) exp(-i phi) w, with the position angle phi; the inner `where` keeps
    # infinite derivatives of the branch not taken out of the backward pass.
    e1_safe = torch.where(elliptical, e1, 0.5)
    e2_safe = torch.where(elliptical, e2, 0.0)
    modulus = torch.sqrt(e1_safe * e1_safe + e2_safe * e2_safe)
    phi = 0.5 * torch.atan2(e2_safe, e1_safe)
    root, cos, sin = torch.sqrt(modulus), torch.cos(phi), torch.sin(phi)
    a = root * (cos * wx + sin * wy)
    b = root * (cos * wy - sin * wx)
    # atan(a + ib); |a + ib| < 1, so neither logarithm nor quotient can reach a singularity.
    re = 0.5 * torch.atan2(2 * a, 1 - modulus * w2)
    # From |b| with the sign of b: log1p(u) loses its digits as u goes to -1. Not b.abs(), whose
    # gradient is 0 at b = 0, on the axis of the ellipse.
    sign = torch.where(b < 0, -1.0, 1.0).to(b.dtype)
    c = sign * b
    im = 0.25 * sign * torch.log1p(4 * c / (a * a + (1 - c) * (1 - c)))
    closed_x, closed_y = (re * cos - im * sin) / root, (re * sin + im * cos) / root

    e1, e2 = torch.where(elliptical, 0.0, e1), torch.where(elliptical, 0.0, e2)
    cos2, sin2 = wx * wx - wy * wy, 2 * wx * wy
    ux, uy = e1 * cos2 + e2 * sin2, e1 * sin2 - e2 * cos2
    series_x, series_y = torch.full_like(ux, 1 / 11), torch.zeros_like(uy)
    for k in (9, 7, 5, 3, 1):
        series_x, series_y = (
            1 / k - (ux * series_x - uy * series_y),
            -(ux * series_y + uy * series_x),
        )
    return (
        torch.where(elliptical, closed_x, wx * series_x - wy * series_y),
        torch.where(elliptical, closed_y, wx * series_y + wy * series_x),
    )


def sie_hessian(
    x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Hessian of a SIE at the origin: ``kappa = theta_E / (2 R)``, ``gamma = -kappa z^2 / |z|^2``.

    Kormann, Schneider & Bartelmann 1994 (A&A 284, 285), eq. 37-39.
    """
    kappa = theta_E / (2 * elliptical_radius(x, y, e1, e2, floor=_CORE))
    r2 = (x * x + y * y).clamp_min(_CORE**2)
    # At the very centre, which has no direction, the Hessian is that of the convergence alone.
    core = torch.where((x == 0) & (y == 0), kappa, 0.0)
    return 2 * kappa * y * y / r2 + core, -2 * kappa * x * y / r2, 2 * kappa * x * x / r2 + core


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SIE(MassProfile):
    """Singular isothermal ellipsoid, ``kappa = theta_E / (2 sqrt(q x^2 + y^2 / q))``.

    Args:
        theta_E: circularised Einstein radius, arcsec.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=math.inf)
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        # The potential is homogeneous of degree one about its centre (Euler's theorem).
        p = self.aligned(x)
        alpha_x, alpha_y = self.deflection(x, y)
        return (x - p["center_x"]) * alpha_x + (y - p["center_y"]) * alpha_y

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p = self.aligned(x)
        return sie_deflection(x - p["center_x"], y - p["center_y"], p["theta_E"], p["e1"], p["e2"])

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.aligned(x)
        return sie_hessian(x - p["center_x"], y - p["center_y"], p["theta_E"], p["e1"], p["e2"])
