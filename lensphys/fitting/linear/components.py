"""Light as a linear combination of maps: sources behind the lens, and light that is not lensed."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.fitting.linear.windows import Window
from lensphys.light.base import LightProfile
from lensphys.rendering import Pixels

#: Expected amplitude of the first waves of a smooth background, in units of the noise of a pixel.
_SKY_SCATTER = 3.0

#: Gradient of light along x and y, none of light that is not lensed; and its derivative by each
#: parameter, all ``(b, ny, nx)``.
Slopes: TypeAlias = tuple[tuple[Tensor, Tensor] | None, dict[str, Tensor]]


@dataclasses.dataclass(frozen=True)
class Maps:
    """Maps of a component at some places.

    Attributes:
        basis: surface brightness of unit amplitudes, ``(b, K, ny, nx)``, flux per arcsec^2.
        contract: takes amplitudes ``(b, K)`` and returns the slopes of their light.
        weigh: the same with maps ``(b, K, ny, nx)`` in place of the amplitudes.
    """

    basis: Tensor
    contract: Callable[[Tensor], Slopes]
    weigh: Callable[[Tensor], Slopes]


@dataclasses.dataclass(frozen=True)
class Part:
    """Maps of components that share a window of the images.

    Attributes:
        maps: of each component, at the rays of the window.
        pixels: of the window.
        window: its place in the images.
        by_mass: derivatives of the deflection at the rays by the parameters of the mass, by name;
            empty for light that is not lensed.
    """

    maps: Sequence[Maps]
    pixels: Pixels
    window: Window
    by_mass: Mapping[str, tuple[Tensor, Tensor]]

    @property
    def count(self) -> int:
        """Number of maps of all components."""
        return sum(maps.basis.shape[1] for maps in self.maps)

    def join(self, batch: int) -> Tensor:
        """Maps of all components, ``(batch, K, ny, nx)``."""
        every = [maps.basis.expand(batch, -1, -1, -1) for maps in self.maps]
        return every[0] if len(every) == 1 else torch.cat(every, 1)

    def contract(self, amplitudes: Tensor) -> Slopes:
        """Slopes of the light of all components, of amplitudes ``(b, K)``."""
        parts = zip(self.maps, self._split(amplitudes), strict=True)
        return add_slopes(maps.contract(own) for maps, own in parts)

    def weigh(self, rays: Tensor) -> Slopes:
        """The same of maps ``(b, K, ny, nx)`` in place of the amplitudes."""
        parts = zip(self.maps, self._split(rays), strict=True)
        return add_slopes(maps.weigh(own) for maps, own in parts)

    def follow(self, slopes: Slopes) -> dict[str, Tensor]:
        """Derivatives by all parameters, of the deflectors too."""
        along, found = slopes
        if along is None:
            return found
        # Light that is deflected more comes from a place before.
        by_mass = self.by_mass.items()
        return found | {name: -(along[0] * d_x + along[1] * d_y) for name, (d_x, d_y) in by_mass}

    def _split(self, values: Tensor) -> list[Tensor]:
        return list(values.split([maps.basis.shape[1] for maps in self.maps], 1))


def add_slopes(parts: Iterable[Slopes]) -> Slopes:
    """Add the slopes of the light of several parts; derivatives by a parameter of several, too."""
    along: tuple[Tensor, Tensor] | None = None
    found: dict[str, Tensor] = {}
    for slope, by_name in parts:
        for name, value in by_name.items():
            found[name] = found[name] + value if name in found else value
        if slope is not None:
            along = slope if along is None else (along[0] + slope[0], along[1] + slope[1])
    return along, found


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

    def find_lit(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor | None:
        """Mask of the places with light, above rounding; None where there is no end to it."""
        return None

    def scatter(self) -> Tensor | None:
        """Expected amplitude ``(K,)``, in units of the noise of a pixel; None without any."""
        return None

    def roughness(self) -> Tensor | None:
        """Matrix ``(K, K)`` of the regularisation, float64; None for a component without any."""
        return None


class Sky(Component):
    """Background that is smooth over the field: cosines of low order, of either sign.

    With order 0 it is constant. Higher ones take up what the light of a lens, or of objects
    outside of the field, leaves behind, and are kept near 0: see :attr:`scatter`.

    Args:
        pixels: of the images.
        order: highest number of half waves along both sides of the field together.
    """

    positive = False

    def __init__(self, pixels: Pixels, order: int = 0) -> None:
        self.ranges = {}
        self._orders = [(i, n - i) for n in range(order + 1) for i in range(n + 1)]
        self.count = len(self._orders)
        x, y = pixels.centers
        self._low = x.amin(), y.amin()
        self._span = x.amax() - x.amin(), y.amax() - y.amin()

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        along_x, along_y = (
            torch.stack([torch.cos(math.pi * n * (at - low) / span) for n in range(self._most)])
            for at, low, span in zip((x, y), self._low, self._span, strict=True)
        )
        basis = torch.stack([along_x[i] * along_y[j] for i, j in self._orders], -3)
        if basis.ndim == 3:
            basis = basis[None]
        return Maps(basis, lambda amplitudes: (None, {}), lambda maps: (None, {}))

    @property
    def _most(self) -> int:
        return 1 + max(i + j for i, j in self._orders)

    def scatter(self) -> Tensor:
        """Expected amplitude ``(K,)``, in units of the noise of a pixel: less for finer waves."""
        orders = torch.tensor([float(i + j) for i, j in self._orders], dtype=torch.float64)
        return torch.where(orders > 0, _SKY_SCATTER / orders.clamp_min(1), math.inf)

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        return []


def column(params: Mapping[str, Tensor], name: str) -> Tensor:
    """Parameter as ``(b, 1, 1)``."""
    return params[name][:, None, None]
