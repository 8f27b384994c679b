"""Non-singular isothermal ellipsoid."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lensphys.ellipticity import stretch
from lensphys.lengths import MOST
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, parameter

#: Least softening, arcsec, as in the SIE: the centre stays finite however small the core.
_CORE = 1e-10
#: Below this ellipticity the power series of ``atan(sqrt u) / sqrt u`` is used: with six terms it
#: is exact to 1e-19, and it has the gradient at q = 1 that the closed form lacks.
_SERIES_BELOW = 1e-3


def _arctan(wx: Tensor, wy: Tensor, e1: Tensor, e2: Tensor, w2: Tensor) -> tuple[Tensor, Tensor]:
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


class _Geometry(NamedTuple):
    """A NIE in the stretched position ``W``, with ``s = sqrt(1 - |e|^2)``."""

    x: Tensor
    y: Tensor
    strength: Tensor  # theta_E s, arcsec
    radius: Tensor  # Psi = sqrt(W conj(W) + (s s_scale)^2), arcsec
    vx: Tensor  # v = W / (Psi + s s_scale), in the unit circle
    vy: Tensor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class NIE(MassProfile):
    """Isothermal ellipsoid with a core, ``kappa = theta_E / (2 sqrt(s_scale^2 + R^2))``.

    ``R = sqrt(q x^2 + y^2 / q)`` in the frame of the ellipse. Keeton & Kochanek 1998 (ApJ 495,
    157), eq. 6-8, in the complex form ``alpha = theta_E s v T(conj(e) v^2)`` that is smooth at
    ``q = 1``: the deflection of a SIE, whose direction ``W / |W|`` the core shortens to ``v``.

    Args:
        theta_E: circularised Einstein radius that the lens would have without its core, arcsec.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        s_scale: circularised radius of the core, arcsec; not 0, which is the SIE.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    s_scale: Parameter = parameter(unit="arcsec", low=0.0, high=MOST, open_low=True)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p, g = self.align(x), self._geometry(x, y)
        alpha_x, alpha_y = self._deflection(p, g)
        e = p["e1"] * p["e1"] + p["e2"] * p["e2"]
        core = p["s_scale"] * torch.rsqrt(1 - e)
        square = g.x * g.x + g.y * g.y + 2 * core * (g.radius + core * (1 + e))
        logarithm = torch.log(square.clamp_min(_CORE * _CORE))
        return g.x * alpha_x + g.y * alpha_y - 0.5 * p["theta_E"] * p["s_scale"] * logarithm

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return self._deflection(self.align(x), self._geometry(x, y))

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # gamma = -kappa (e + v^2) / (1 + conj(e) v^2), which is -kappa z / conj(z) without a core.
        p, g = self.align(x), self._geometry(x, y)
        e1, e2 = p["e1"], p["e2"]
        kappa = g.strength / (2 * g.radius)
        cos, sin = g.vx * g.vx - g.vy * g.vy, 2 * g.vx * g.vy
        top_x, top_y = e1 + cos, e2 + sin
        bottom_x, bottom_y = 1 + e1 * cos + e2 * sin, e1 * sin - e2 * cos
        w = kappa / (bottom_x * bottom_x + bottom_y * bottom_y)
        gamma1 = -w * (top_x * bottom_x + top_y * bottom_y)
        gamma2 = -w * (top_y * bottom_x - top_x * bottom_y)
        return kappa + gamma1, gamma2, kappa - gamma1

    def _deflection(self, p: dict[str, Tensor], g: _Geometry) -> tuple[Tensor, Tensor]:
        w2 = g.vx * g.vx + g.vy * g.vy
        tx, ty = _arctan(g.vx, g.vy, p["e1"], p["e2"], w2)
        return g.strength * tx, g.strength * ty

    def _geometry(self, x: Tensor, y: Tensor) -> _Geometry:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        s = torch.sqrt(1 - p["e1"] * p["e1"] - p["e2"] * p["e2"])
        core = p["s_scale"] * s
        wx, wy = stretch(x, y, p["e1"], p["e2"])
        radius = torch.sqrt((wx * wx + wy * wy + core * core).clamp_min(_CORE * _CORE))
        inverse = 1 / (radius + core)
        return _Geometry(x, y, p["theta_E"] * s, radius, wx * inverse, wy * inverse)
