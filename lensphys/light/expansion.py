"""Light that is a sum of basis functions, with an amplitude each."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import is_traced, take_map
from lensphys.light.base import LightProfile
from lensphys.parameters import Profile, shared_shape


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Expansion(LightProfile):
    """A surface brightness that is linear in its amplitudes ``amp``, ``(K,)`` or ``(B, K)``.

    Raises:
        ValueError: also for amplitudes that are not finite, of another number than there are basis
            functions, or of a batch that does not go with that of the parameters.
    """

    #: Fields with one value for each basis function.
    _each: ClassVar[tuple[str, ...]] = ("amp",)

    amp: Tensor | NDArray[np.floating]

    def __post_init__(self) -> None:
        Profile.__post_init__(self)
        taken = {name: _take_row(name, getattr(self, name)) for name in self._each}
        for name, value in taken.items():
            object.__setattr__(self, name, value)
        count = self._count()
        for name, value in taken.items():
            if value.shape[-1] != count:
                raise ValueError(f"{name} must hold {count} values, got {value.shape[-1]}")
        named = {name: tuple(value.shape[:-1]) for name, value in taken.items()}
        named["the parameters"] = super().batch_shape
        try:
            shared_shape(named.values())
        except RuntimeError:
            given = ", ".join(f"{name} {shape}" for name, shape in named.items() if shape)
            raise ValueError(
                f"amplitudes and parameters must share one batch, got {given}"
            ) from None

    @property
    def batch_shape(self) -> tuple[int, ...]:
        rows = [tuple(getattr(self, name).shape[:-1]) for name in self._each]
        return shared_shape([super().batch_shape, *rows])

    @abc.abstractmethod
    def _count(self) -> int:
        """Number of basis functions."""

    @abc.abstractmethod
    def basis(self, x: Tensor, y: Tensor) -> Tensor:
        """Basis functions of unit amplitude, ``(B, K, ny, nx)``, or ``(K, ny, nx)`` unbatched."""

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        amp = torch.as_tensor(self.amp).to(x.device, x.dtype)
        return (amp[..., None, None] * self.basis(x, y)).sum(-3)


def _take_row(name: str, value: Any) -> Tensor:
    """Return finite values along the last axis, ``(K,)`` or ``(B, K)``.

    Raises:
        ValueError: for other shapes, no values at all, and values that are not finite.
    """
    row = take_map(name, np.asarray(value) if isinstance(value, list | tuple) else value)
    if row.ndim not in (1, 2) or not row.numel():
        raise ValueError(f"{name} must be (K,) or (B, K), got {tuple(row.shape)}")
    if not (is_traced(row) or bool(torch.isfinite(row).all())):
        raise ValueError(f"{name} must be finite")
    return row
