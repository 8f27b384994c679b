"""Many deflectors of one kind, such as the subhaloes of a halo, as one mass profile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter

_CHUNK = 16


class Population:
    """The sum of ``K`` deflectors, whose parameters carry a last axis of length ``K``.

    Args:
        profile: a mass profile whose parameters have shape ``(B, K)`` or ``(K,)``; pad a
            population of varying size with deflectors of zero mass.
        chunk: how many deflectors are evaluated at once; bounds the memory at
            ``B * chunk * ny * nx`` numbers.

    Raises:
        ValueError: where no parameter of the profile has an axis to sum over.
    """

    def __init__(self, profile: MassProfile, chunk: int = _CHUNK) -> None:
        named = {f.name: getattr(profile, f.name) for f in dataclasses.fields(profile)}
        shapes = [value.shape for value in named.values() if isinstance(value, Tensor)]
        shape = torch.broadcast_shapes(*shapes) if shapes else torch.Size()
        if not shape:
            raise ValueError("a population needs parameters of shape (B, K) or (K,)")
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.profile = profile
        self.chunk = chunk
        self.size = shape[-1]
        self._batch = shape[:-1]
        self._named = named

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        """Lensing potential, arcsec^2."""
        return self._sum(lambda part, x, y: (part.potential(x, y),), x, y, 1)[0]

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced deflection ``(alpha_x, alpha_y)``, arcsec."""
        fused = getattr(self.profile, "summed_deflection", None)
        if fused is not None and (result := fused(x, y)) is not None:
            return result  # type: ignore[no-any-return]
        alpha = self._sum(lambda part, x, y: part.deflection(x, y), x, y, 2)
        return alpha[0], alpha[1]

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Second derivatives of the potential ``(psi_xx, psi_xy, psi_yy)``."""
        psi = self._sum(lambda part, x, y: part.hessian(x, y), x, y, 3)
        return psi[0], psi[1], psi[2]

    def _parts(self) -> Iterator[MassProfile]:
        for start in range(0, self.size, self.chunk):
            part = {name: self._slice(value, start) for name, value in self._named.items()}
            yield type(self.profile)(**part)

    def _slice(self, value: Parameter, start: int) -> Parameter:
        if not isinstance(value, Tensor) or value.ndim == 0 or value.shape[-1] == 1:
            return value
        return value[..., start : start + self.chunk]

    def _sum(
        self, evaluate: Callable[..., tuple[Tensor, ...]], x: Tensor, y: Tensor, count: int
    ) -> list[Tensor]:
        # A batched grid (B, ny, nx) gains an axis for the deflectors; a shared one broadcasts.
        if x.ndim > 2:
            x, y = x.unsqueeze(-3), y.unsqueeze(-3)
        total = [x.new_zeros((*self._batch, *x.shape[-2:]))] * count
        for part in self._parts():
            maps = evaluate(part, x, y)
            total = [a + b.sum(-3) for a, b in zip(total, maps, strict=True)]
        return total
