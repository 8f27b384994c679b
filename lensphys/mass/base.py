"""Uniform interface of all mass profiles."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.func import jvp

from lensphys.arrays import TakesPositions
from lensphys.mass.distance import at_any_distance
from lensphys.parameters import Profile

#: The x and y components of a vector field.
Vector: TypeAlias = tuple[Tensor, Tensor]


class Unchanging:
    """An object that keeps what follows from its attributes, so that none of them is replaced.

    Tensors among them, or among the parameters of a profile, may change in place.

    Raises:
        AttributeError: for an attribute that is set a second time.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self):
            kind = type(self).__name__
            raise AttributeError(f"{name} of a {kind} cannot be replaced: make a new {kind}")
        super().__setattr__(name, value)


class Deflecting(TakesPositions, abc.ABC):
    """A part of a lens, or a whole one: maps that follow from the Hessian of its potential."""

    @abc.abstractmethod
    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``, dimensionless."""

    def convergence(self, x: Tensor, y: Tensor) -> Tensor:
        """Convergence kappa: surface density over the critical one, dimensionless."""
        psi_xx, _, psi_yy = self.hessian(x, y)
        return 0.5 * (psi_xx + psi_yy)

    def shear(self, x: Tensor, y: Tensor) -> Vector:
        """Shear ``(gamma1, gamma2)``, dimensionless."""
        psi_xx, psi_xy, psi_yy = self.hessian(x, y)
        return 0.5 * (psi_xx - psi_yy), psi_xy


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MassProfile(Profile, Deflecting):
    """A deflector in one lens plane. Angles in arcsec, deflections reduced.

    Every method takes coordinates ``x, y``, tensors, arrays, lists or numbers, in arcsec, of shape
    ``(ny, nx)`` or ``(B, ny, nx)``, and returns maps of shape ``(B, ny, nx)``, or ``(ny, nx)``
    where nothing is batched. Numbers and flat lists or arrays are single places, whose maps have no
    axes of a grid; tensors keep their axes, so give single places as ``(1, N)``.

    Positions may be as far as float32 reaches: on a CPU, outside of compiled graphs and transforms,
    those beyond 1e7 arcsec are evaluated in float64; elsewhere results are finite up to 1e10.
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        for name in ("potential", "deflection", "hessian"):
            if name in vars(cls):
                setattr(cls, name, at_any_distance(vars(cls)[name]))
        super().__init_subclass__(**settings)  # last, so that arrays are converted first

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        raise TypeError(f"{type(self).__name__} has no potential")

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec: the gradient of the potential."""
        raise TypeError(f"{type(self).__name__} has no deflection")

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``, dimensionless."""
        raise TypeError(f"{type(self).__name__} has no Hessian")

    def deflection_jacobian(self, x: Tensor, y: Tensor) -> tuple[Vector, dict[str, Vector]]:
        """Deflection, and its derivative with respect to each parameter by name.

        By forward-mode differentiation; profiles that are fitted often override it with their
        closed form.
        """
        alpha = self.deflection(x, y)
        jacobian = {}
        for name in self.parameter_names():
            value = torch.as_tensor(getattr(self, name), dtype=x.dtype, device=x.device)

            def deflection(value: Tensor, name: str = name) -> Vector:
                return dataclasses.replace(self, **{name: value}).deflection(x, y)

            jacobian[name] = jvp(deflection, (value,), (torch.ones_like(value),))[1]
        return alpha, jacobian
