"""Scene whose light is linear in its amplitudes: deflectors, sources, lens light and sky."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.linear.components import Component, Maps, Part, Sky
from lensphys.fitting.linear.windows import Window, find_window, may_have_window
from lensphys.lens import ThinLens
from lensphys.light.base import LightProfile
from lensphys.products import product
from lensphys.rendering import Pixels


class LinearScene:
    """Deflectors, and components of light whose amplitudes are solved for.

    The columns of the model are those of the sources, then those of the lens light, then the sky.

    Args:
        deflectors: of the sources; None if there are no sources.
        sources: light behind the deflectors.
        lights: light that is not lensed.
        sky: background, if any.

    Attributes:
        ranges, names: fit range of every non-linear parameter; their order.
        count: number of amplitudes ``K``.
        positive: mask ``(K,)`` of the amplitudes that may not be negative.
        regularised: mask ``(K,)`` of the amplitudes that are regularised.
        roughness: matrix ``(K, K)`` of the regularisation, float64.
        log_roughness: logarithm of the determinant of the regularisation.
        scatter: expected amplitude ``(K,)``, in units of the noise of a pixel; infinite for most.
    """

    def __init__(
        self,
        deflectors: Deflectors | None,
        sources: Sequence[Component],
        lights: Sequence[Component],
        *,
        sky: Sky | None = None,
    ) -> None:
        self.deflectors = deflectors
        self.sources, self.lights = list(sources), list(lights)
        self._sky = [] if sky is None else [sky]
        self.ranges: dict[str, FitRange] = dict(deflectors.ranges) if deflectors else {}
        components = [*self.sources, *self.lights, *self._sky]
        for component in components:
            self.ranges |= component.ranges
        self.names = tuple(self.ranges)
        self.count = sum(component.count for component in components)
        self.positive = torch.cat(
            [torch.full((component.count,), component.positive) for component in components]
        )
        self.roughness = torch.zeros(self.count, self.count, dtype=torch.float64)
        at = 0
        for component in components:
            after = at + component.count
            if (block := component.roughness()) is not None:
                self.roughness[at:after, at:after] = block
            at = after
        self.regularised = self.roughness.diagonal() > 0
        own = self.roughness[self.regularised][:, self.regularised]
        self.log_roughness = float(torch.linalg.slogdet(own).logabsdet)
        spread = [c.scatter() for c in components]
        self.scatter = torch.cat(
            [
                torch.full((component.count,), math.inf).double() if own is None else own
                for component, own in zip(components, spread, strict=True)
            ]
        )

    @property
    def light_names(self) -> set[str]:
        """Parameters of the light that is not lensed."""
        return {name for component in self.lights for name in component.ranges}

    def named(self, params: Tensor) -> dict[str, Tensor]:
        """Split a tensor ``(..., P)`` by parameter name."""
        return dict(zip(self.names, params.unbind(-1), strict=True))

    def take(self, index: Tensor) -> LinearScene:
        """Scene of some images: with the neighbours that belong to them."""
        taken = self.deflectors.take(index) if self.deflectors else None
        if taken is self.deflectors:
            return self
        scene = copy.copy(self)
        scene.deflectors = taken
        return scene

    def split(self, amplitudes: Tensor) -> dict[str, Tensor]:
        """Split amplitudes ``(B, K)`` into those of ``source``, ``lens_light`` and ``sky``."""
        groups: dict[str, Sequence[Component]] = {
            "source": self.sources,
            "lens_light": self.lights,
            "sky": self._sky,
        }
        counts = [sum(part.count for part in parts) for parts in groups.values()]
        pieces = zip(groups, amplitudes.split(counts, -1), strict=True)
        return {name: piece for name, piece in pieces if piece.shape[-1]}

    def lens(self, values: Mapping[str, Tensor]) -> ThinLens:
        """Deflectors of parameters by name."""
        if self.deflectors is None:
            raise ValueError("a scene without a source has no lens")
        return self.deflectors.lens(values)

    def source(self, values: Mapping[str, Tensor]) -> list[LightProfile]:
        """Light profiles of the source; ``values`` hold its amplitudes as ``source``."""
        return _profiles(self.sources, values, "source")

    def light(self, values: Mapping[str, Tensor]) -> list[LightProfile] | None:
        """Light profiles of the lens, None if none is fitted; amplitudes as ``lens_light``."""
        return _profiles(self.lights, values, "lens_light") if self.lights else None

    def parts(self, values: Mapping[str, Tensor], pixels: Pixels) -> dict[str, Tensor]:
        """Blurred images ``(B, ny, nx)`` of ``source``, ``lens_light`` and ``sky``."""
        batch = next(iter(values.values())).shape[0]
        found = {}
        x, y = pixels.x, pixels.y
        for name, components in (("lens_light", self.lights), ("sky", self._sky)):
            found[name] = self._shine(components, values, name, x, y, pixels, batch)
        at = (x, y)
        if self.deflectors is not None:
            at = self.deflectors.lens(values).ray_trace(x, y)
        source = self._shine(self.sources, values, "source", *at, pixels, batch)
        return {"source": source, **found}

    def _shine(
        self,
        components: Sequence[Component],
        values: Mapping[str, Tensor],
        name: str,
        x: Tensor,
        y: Tensor,
        pixels: Pixels,
        batch: int,
    ) -> Tensor:
        if not components:
            return pixels.x.new_zeros(batch, *pixels.shape)
        total = pixels.x.new_zeros(batch, *pixels.x.shape[-2:])
        counts = [component.count for component in components]
        for component, amp in zip(components, values[name].split(counts, -1), strict=True):
            basis = component.evaluate(values, x, y).basis
            rows = product(amp[:, None].to(basis), basis.flatten(2).expand(batch, -1, -1))
            total = total + rows.reshape(total.shape)
        return pixels.collect(total)

    def evaluate(
        self, params: Mapping[str, Tensor], pixels: Pixels, *, light: bool = True
    ) -> list[Part]:
        """Maps of the sources, in the window where they have light; then those of other light.

        Args:
            params: ``(b,)`` by name.
            pixels: of the images.
            light: evaluate the lens light and the sky too.
        """
        found = []
        if self.deflectors is not None and self.sources:
            window = self._find_window(self.deflectors, params, pixels)
            seen = pixels if window.is_whole else pixels.crop(window.rows, window.columns)
            x, y = seen.x, seen.y
            (alpha_x, alpha_y), jacobian = self.deflectors.deflection_jacobian(params, x, y)
            beta = x - alpha_x, y - alpha_y
            maps = [source.evaluate(params, *beta) for source in self.sources]
            found.append(Part(maps, seen, window, jacobian))
        if light and (maps := self.evaluate_light(params, pixels)):
            found.append(Part(maps, pixels, Window.whole(pixels.shape), {}))
        return found

    def _find_window(
        self, deflectors: Deflectors, params: Mapping[str, Tensor], pixels: Pixels
    ) -> Window:
        if not may_have_window(pixels):
            return Window.whole(pixels.shape)
        with torch.no_grad():
            beta = deflectors.lens(params).ray_trace(pixels.x, pixels.y)
            lit = [source.find_lit(params, *beta) for source in self.sources]
        known = [mask for mask in lit if mask is not None]
        if len(known) < len(lit):
            return Window.whole(pixels.shape)
        return find_window(functools.reduce(torch.logical_or, known), pixels)

    def evaluate_light(self, params: Mapping[str, Tensor], pixels: Pixels) -> list[Maps]:
        """Maps of the components that are not lensed."""
        x, y = pixels.x, pixels.y
        return [part.evaluate(params, x, y) for part in (*self.lights, *self._sky)]


def _profiles(
    components: Sequence[Component], values: Mapping[str, Tensor], name: str
) -> list[LightProfile]:
    counts = [component.count for component in components]
    amplitudes = values[name].split(counts, -1)
    parts = zip(components, amplitudes, strict=True)
    return [profile for part, amp in parts for profile in part.profiles(values, amp)]
