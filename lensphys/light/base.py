"""The uniform interface of every light profile."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from lensphys.parameters import Profile


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LightProfile(Profile):
    """A surface-brightness profile in the source or the lens plane."""

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2 at ``x, y`` (arcsec), of shape ``(B, ny, nx)`` or ``(ny, nx)``."""
        raise TypeError(f"{type(self).__name__} has no surface brightness")
