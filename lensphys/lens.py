"""The thin lens: deflectors in one plane, and what they do to light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from lensphys.parameters import Parameter, align


class Deflector(Protocol):
    """What a lens is made of: a mass profile or a population of them."""

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection, arcsec."""

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential."""


class ThinLens:
    """Deflectors in one lens plane, in front of one source plane.

    Coordinates ``x, y`` are in arcsec, of shape ``(ny, nx)`` or ``(B, ny, nx)``; every map comes
    back as ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is batched.

    Args:
        deflectors: mass profiles, whose deflections add.
        alpha_scale: factor on all deflections, from the source redshift that the parameters are
            reduced to (lenstronomy's ``z_source_convention``) to that of the source; see
            :func:`lensphys.cosmology.alpha_scale`.

    Raises:
        ValueError: for a lens without deflectors.
    """

    def __init__(self, deflectors: Sequence[Deflector], *, alpha_scale: Parameter = 1.0) -> None:
        if not deflectors:
            raise ValueError("a lens needs at least one deflector")
        self.deflectors = tuple(deflectors)
        self.alpha_scale = alpha_scale

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        total = sum((d.potential(x, y) for d in self.deflectors), start=x.new_zeros(()))
        return total * align(self.alpha_scale, x)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec."""
        maps = [d.deflection(x, y) for d in self.deflectors]
        scale = align(self.alpha_scale, x)
        total = [sum(components[1:], start=components[0]) for components in zip(*maps, strict=True)]
        return total[0] * scale, total[1] * scale

    def ray_trace(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane position ``beta = theta - alpha(theta)``, arcsec."""
        alpha_x, alpha_y = self.deflection(x, y)
        return x - alpha_x, y - alpha_y

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``, dimensionless."""
        maps = [d.hessian(x, y) for d in self.deflectors]
        scale = align(self.alpha_scale, x)
        xx, xy, yy = (
            sum(components[1:], start=components[0]) * scale
            for components in zip(*maps, strict=True)
        )
        return xx, xy, yy

    def convergence(self, x: Tensor, y: Tensor) -> Tensor:
        """Convergence kappa: surface density over the critical one, dimensionless."""
        psi_xx, _, psi_yy = self.hessian(x, y)
        return 0.5 * (psi_xx + psi_yy)

    def shear(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Shear ``(gamma1, gamma2)``, dimensionless."""
        psi_xx, psi_xy, psi_yy = self.hessian(x, y)
        return 0.5 * (psi_xx - psi_yy), psi_xy

    def magnification(self, x: Tensor, y: Tensor) -> Tensor:
        """Signed magnification ``1 / det(d beta / d theta)``; infinite on critical curves."""
        psi_xx, psi_xy, psi_yy = self.hessian(x, y)
        return 1 / ((1 - psi_xx) * (1 - psi_yy) - psi_xy * psi_xy)
