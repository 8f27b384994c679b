"""Singular isothermal sphere."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lensphys.lengths import MOST
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, parameter

#: Radius (arcsec) inside which the singular centre is flattened.
_CORE = 1e-10


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SIS(MassProfile):
    """Singular isothermal sphere, ``psi = theta_E r``; no deflection at its very centre.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 8.34.

    Args:
        theta_E: Einstein radius, arcsec.
        center_x, center_y: centre, arcsec.
    """

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        theta_E, x, y, inverse = self._geometry(x, y)
        return theta_E * (x * x + y * y) * inverse

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        theta_E, x, y, inverse = self._geometry(x, y)
        w = theta_E * inverse
        return x * w, y * w

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        theta_E, x, y, inverse = self._geometry(x, y)
        w, x, y = theta_E * inverse, x * inverse, y * inverse
        # At the very centre, which has no direction, the Hessian is that of the convergence alone.
        core = torch.where((x == 0) & (y == 0), 0.5 * w, 0.0)
        return w * y * y + core, -w * x * y, w * x * x + core

    def _geometry(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        return p["theta_E"], x, y, torch.rsqrt((x * x + y * y).clamp_min(_CORE * _CORE))
