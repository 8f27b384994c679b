"""Point mass, and the sum over many of them in one loop."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lensphys.kernels import launch
from lensphys.mass.base import MassProfile
from lensphys.mass.distance import FARTHEST, MOST_STEEP
from lensphys.parameters import Parameter, parameter

#: Squared distance (arcsec^2) below which the singular centre is cut off; the gradient of the
#: Hessian, which grows as its inverse square, then stays in the range of float32.
_R2_MIN = 1e-16


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PointMass(MassProfile):
    """Point mass, ``alpha = theta_E^2 r_vec / r^2``; no deflection at its very centre.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 2.6b, in angular units.

    Args:
        theta_E: Einstein radius, arcsec; ``theta_E^2 = 4 G M / c^2 * D_ls / (D_l D_s)``.
        center_x, center_y: position, arcsec.
    """

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=MOST_STEEP)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        theta2, _, _, r2 = self._geometry(x, y)
        return 0.5 * theta2 * torch.log(r2)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        theta2, x, y, r2 = self._geometry(x, y)
        w = theta2 / r2
        return x * w, y * w

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        theta2, x, y, r2 = self._geometry(x, y)
        # Two divisions by r^2: r^4 would leave the range of float32 near the centre.
        psi_xx = theta2 / r2 * ((y * y - x * x) / r2)
        return psi_xx, theta2 / r2 * (-2 * x * y / r2), -psi_xx

    def sum_deflections(
        self, x: Tensor, y: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor] | None:
        """Sum over the last parameter axis in one loop, or return None if that is not possible.

        Possible on a CPU, without gradients, for a grid shared by the batch or one an image: one
        pass over the pixels instead of one per mass, at the rate of the arithmetic instead of the
        memory. Masses whose ``mask`` is False are left out.
        """
        p = self.align_members(x)
        theta2, at = p["theta_E"] ** 2, (p["center_x"], p["center_y"])
        return launch.sum_population("point_mass.add_deflections", x, y, mask, theta2, *at)

    def _geometry(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        return p["theta_E"] ** 2, x, y, (x * x + y * y).clamp_min(_R2_MIN)
