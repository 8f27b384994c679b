"""Sources with a bright core and faint outskirts: shapelets of several scales at one centre."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensphys.fitting.linear.components import Component, Maps, Slopes, add_slopes
from lensphys.fitting.linear.separable import ShapeletSource
from lensphys.light.base import LightProfile

_SCALE = "source_beta"


class MultiscaleSource(Component):
    """Shapelets of one scale, and of multiples of it.

    Shapelets of one scale ``beta`` up to order n see details of ``beta / sqrt(n)`` out to
    ``beta * sqrt(n)``. Galaxies with arms or clumps need more than that: twice the range takes four
    times the amplitudes with one scale, and twice with two.

    Args:
        parts: highest order and scale of each part; scales in units of ``source_beta``.
        steepness: see :class:`lensphys.fitting.linear.separable.ShapeletSource`.
    """

    positive = False

    def __init__(self, parts: Sequence[tuple[int, float]], steepness: float = 3.0) -> None:
        self._parts = [ShapeletSource(n_max, steepness=steepness) for n_max, _ in parts]
        self._scales = [scale for _, scale in parts]
        self._counts = [part.count for part in self._parts]
        self.count = sum(self._counts)
        self.ranges = self._parts[0].ranges

    def find_lit(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        lit = [part.find_lit(own, x, y) for part, own in self._each(params)]
        return torch.stack(lit).any(0)

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        maps = [part.evaluate(own, x, y) for part, own in self._each(params)]

        def contract(amplitudes: Tensor) -> Slopes:
            each = zip(maps, self._scales, amplitudes.split(self._counts, 1), strict=True)
            return add_slopes(_rescale(own.contract(some), scale) for own, scale, some in each)

        def weigh(rays: Tensor) -> Slopes:
            each = zip(maps, self._scales, rays.split(self._counts, 1), strict=True)
            return add_slopes(_rescale(own.weigh(some), scale) for own, scale, some in each)

        return Maps(torch.cat([own.basis for own in maps], 1), contract, weigh)

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        shares = amplitudes.split(self._counts, -1)
        each = zip(self._each(params), shares, strict=True)
        return [light for (part, own), share in each for light in part.profiles(own, share)]

    def roughness(self) -> Tensor:
        joined: Tensor = torch.block_diag(*[part.roughness() for part in self._parts])
        return joined

    def _each(
        self, params: Mapping[str, Tensor]
    ) -> list[tuple[ShapeletSource, Mapping[str, Tensor]]]:
        """Parts with their parameters."""
        each = zip(self._parts, self._scales, strict=True)
        return [(part, {**params, _SCALE: scale * params[_SCALE]}) for part, scale in each]


def _rescale(slopes: Slopes, scale: float) -> Slopes:
    """Derivatives by the common scale from those by the scale of a part."""
    along, found = slopes
    return along, {**found, _SCALE: scale * found[_SCALE]}
