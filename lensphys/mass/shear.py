"""External shear."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lensphys.mass.base import MassProfile, Vector
from lensphys.parameters import Parameter, parameter


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shear(MassProfile):
    """External shear, ``psi = (gamma1 (x^2 - y^2) + 2 gamma2 x y) / 2``.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 5.36 without convergence.

    Args:
        gamma1, gamma2: components of the shear, dimensionless.
        ra_0, dec_0: point without deflection, arcsec.
    """

    gamma1: Parameter = parameter()
    gamma2: Parameter = parameter()
    ra_0: Parameter = parameter(0.0, unit="arcsec")
    dec_0: Parameter = parameter(0.0, unit="arcsec")

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.aligned(x)
        x, y = x - p["ra_0"], y - p["dec_0"]
        return 0.5 * p["gamma1"] * (x * x - y * y) + p["gamma2"] * x * y

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        p = self.aligned(x)
        x, y = x - p["ra_0"], y - p["dec_0"]
        gamma1, gamma2 = p["gamma1"], p["gamma2"]
        return torch.addcmul(gamma1 * x, gamma2, y), torch.addcmul(gamma2 * x, -gamma1, y)

    def deflection_jacobian(self, x: Tensor, y: Tensor) -> tuple[Vector, dict[str, Vector]]:
        p = self.aligned(x)
        dx, dy, g1, g2 = torch.broadcast_tensors(
            x - p["ra_0"], y - p["dec_0"], p["gamma1"], p["gamma2"]
        )
        jacobian = {"gamma1": (dx, -dy), "gamma2": (dy, dx), "ra_0": (-g1, -g2), "dec_0": (-g2, g1)}
        return self.deflection(x, y), jacobian

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.aligned(x)
        # Every component has the shape of the whole batch, whichever parameter carries it.
        zeros = 0 * (sum(p.values()) + x)
        return p["gamma1"] + zeros, p["gamma2"] + zeros, zeros - p["gamma1"]
