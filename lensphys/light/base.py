"""Uniform interface of all light profiles."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.func import jvp

from lensphys.parameters import Profile


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LightProfile(Profile):
    """A surface-brightness profile in the source or the lens plane."""

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2 at ``x, y`` (arcsec), of shape ``(B, ny, nx)`` or ``(ny, nx)``."""
        raise TypeError(f"{type(self).__name__} has no surface brightness")

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Surface brightness, and its derivative with respect to each parameter by name.

        By forward-mode differentiation; profiles that are fitted often override it with their
        closed form. The gradient on the sky is minus the derivative with respect to the centre.
        """
        brightness = self.surface_brightness(x, y)
        jacobian = {}
        for name in self.parameter_names():
            value = torch.as_tensor(getattr(self, name), dtype=x.dtype, device=x.device)

            def evaluate(value: Tensor, name: str = name) -> Tensor:
                return dataclasses.replace(self, **{name: value}).surface_brightness(x, y)

            jacobian[name] = jvp(evaluate, (value,), (torch.ones_like(value),))[1]
        return brightness, jacobian
