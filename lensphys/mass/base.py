"""The uniform interface of every mass profile."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from lensphys.parameters import Profile


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MassProfile(Profile):
    """A deflector in one lens plane. Angles in arcsec, deflections reduced.

    Every method takes coordinates ``x, y`` in arcsec, of shape ``(ny, nx)`` or ``(B, ny, nx)``,
    and returns maps of shape ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is batched.
    """

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        raise TypeError(f"{type(self).__name__} has no potential")

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec: the gradient of the potential."""
        raise TypeError(f"{type(self).__name__} has no deflection")

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``, dimensionless."""
        raise TypeError(f"{type(self).__name__} has no Hessian")
