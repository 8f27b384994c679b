"""Uniform sheet of mass."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, parameter


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class ConvergenceSheet(MassProfile):
    """Uniform convergence, ``psi = kappa r^2 / 2``; negative where matter is missing.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 5.36 without shear.

    Args:
        kappa: convergence, dimensionless.
        ra_0, dec_0: point without deflection, arcsec.
    """

    kappa: Parameter = parameter()
    ra_0: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    dec_0: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        x, y = x - p["ra_0"], y - p["dec_0"]
        return 0.5 * p["kappa"] * (x * x + y * y)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p = self.align(x)
        # Every component has the shape of the whole batch, whichever parameter carries it.
        zeros = 0 * (sum(p.values()) + x + y)
        return p["kappa"] * (x - p["ra_0"]) + zeros, p["kappa"] * (y - p["dec_0"]) + zeros

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.align(x)
        zeros = 0 * (sum(p.values()) + x)
        return p["kappa"] + zeros, zeros, p["kappa"] + zeros
