"""Light as a linear combination of maps: sources behind the lens, and light that is not lensed."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.light.base import LightProfile

#: Gradient of light along x and y, none of light that is not lensed; and its derivative by each
#: parameter, all ``(b, ny, nx)``.
Slopes: TypeAlias = tuple[tuple[Tensor, Tensor] | None, dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Maps:
    """Maps of a component at some places.

    Attributes:
        basis: surface brightness of unit amplitudes, ``(b, K, ny, nx)``, flux per arcsec^2.
        contract: takes amplitudes ``(b, K)`` and returns the slopes of their light.
    """

    basis: Tensor
    contract: Callable[[Tensor], Slopes]


class Component(abc.ABC):
    """Light that is linear in its amplitudes.

    Attributes:
        ranges: fit range of every parameter that is not linear, by name.
        count: number of amplitudes.
        positive: none of the amplitudes may be negative.
    """

    positive: ClassVar[bool] = True
    ranges: dict[str, FitRange]
    count: int

    @abc.abstractmethod
    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        """Maps at ``x, y`` (arcsec), for parameters ``(b,)`` by name."""

    @abc.abstractmethod
    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        """Light profiles of these parameters and amplitudes ``(B, K)``."""

    def roughness(self) -> Tensor | None:
        """Matrix ``(K, K)`` of the regularisation, float64; None for a component without any."""
        return None


class Sky(Component):
    """A brightness that is the same in all pixels, of either sign."""

    positive = False
    count = 1

    def __init__(self) -> None:
        self.ranges = {}

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        shape = torch.broadcast_shapes(x.shape, next(iter(params.values()))[:, None, None].shape)
        basis = torch.ones_like(x).expand(shape)[:, None]
        return Maps(basis, lambda amplitudes: (None, {}))

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        return []


def column(params: Mapping[str, Tensor], name: str) -> Tensor:
    """Parameter as ``(b, 1, 1)``."""
    return params[name][:, None, None]
