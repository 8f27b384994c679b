"""Multipole of the angular structure of a lens."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from lensphys.ground.numbers import check_count
from lensphys.lengths import LEAST, MOST
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, parameter

#: Radius (arcsec) inside which the singular centre is flattened.
_CORE = 1e-10


class _Geometry(NamedTuple):
    """Polar coordinates without angles: ``n = z / |z|``, and multiples of the angle to phi_m."""

    inverse: Tensor  # 1 / r
    r: Tensor
    nx: Tensor
    ny: Tensor
    cos: Tensor  # cos(m (phi - phi_m))
    sin: Tensor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Multipole(MassProfile):
    """Circular multipole, ``kappa = a_m / (2 r) cos(m (phi - phi_m))`` for ``m`` from 2 on.

    Xu et al. 2013 (arXiv:1307.4220), eq. B12; scale-free, for lenses that are close to isothermal.
    The dipole, ``m = 1``, has the potential ``a_m / 2 r log(r / r_E) cos(phi - phi_m)``.

    Args:
        m: order, a whole number from 1 on; not a parameter, one for all lenses of a batch.
        a_m: amplitude, arcsec.
        phi_m: direction of a maximum, rad.
        center_x, center_y: centre, arcsec.
        r_E: radius where the deflection of the dipole is purely radial, arcsec; without effect
            for ``m`` from 2 on.

    Raises:
        ValueError: also for an order that is no whole number from 1 on.
    """

    m: int
    a_m: Parameter = parameter(unit="arcsec", low=-MOST, high=MOST)
    phi_m: Parameter = parameter(unit="rad")
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    r_E: Parameter = parameter(1.0, unit="arcsec", low=LEAST, high=MOST)

    def __post_init__(self) -> None:
        check_count("m", self.m)
        super().__post_init__()

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p, g = self.align(x), self._geometry(x, y)
        if self.m == 1:
            return -0.5 * p["a_m"] * g.r * torch.log(p["r_E"] * g.inverse) * g.cos
        return p["a_m"] / (1 - self.m**2) * g.r * g.cos + 0 * p["r_E"]

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p, g = self.align(x), self._geometry(x, y)
        if self.m == 1:
            half, logarithm = 0.5 * p["a_m"], -torch.log(p["r_E"] * g.inverse)
            return (
                half * (torch.cos(p["phi_m"]) * logarithm + g.cos * g.nx),
                half * (torch.sin(p["phi_m"]) * logarithm + g.cos * g.ny),
            )
        radial = p["a_m"] / (1 - self.m**2) * g.cos + 0 * p["r_E"]
        tangential = -self.m * p["a_m"] / (1 - self.m**2) * g.sin
        return radial * g.nx - tangential * g.ny, radial * g.ny + tangential * g.nx

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p, g = self.align(x), self._geometry(x, y)
        nx, ny = g.nx, g.ny
        w = p["a_m"] * g.inverse + 0 * p["r_E"]
        if self.m == 1:
            w, dx, dy = 0.5 * w, torch.cos(p["phi_m"]), torch.sin(p["phi_m"])
            return (
                w * (2 * dx * nx + g.cos * (ny * ny - nx * nx)),
                w * (dx * ny + dy * nx - 2 * g.cos * nx * ny),
                w * (2 * dy * ny + g.cos * (nx * nx - ny * ny)),
            )
        w = w * g.cos
        return w * ny * ny, -w * nx * ny, w * nx * nx

    def _geometry(self, x: Tensor, y: Tensor) -> _Geometry:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        r2 = x * x + y * y
        inverse = torch.rsqrt(r2.clamp_min(_CORE * _CORE))
        nx, ny = x * inverse, y * inverse
        # n^m exp(-i m phi_m): no angle, whose branch cut the gradients would feel.
        turn = self.m * p["phi_m"]
        cos, sin = torch.cos(turn), -torch.sin(turn)
        for _ in range(self.m):
            cos, sin = cos * nx - sin * ny, cos * ny + sin * nx
        return _Geometry(inverse, r2 * inverse, nx, ny, cos, sin)
