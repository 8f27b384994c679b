"""Kinds of scene whose amplitudes are solved for, and the components they are made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.linear.components import Component, Sky
from lensphys.fitting.linear.gaussians import GaussianLight
from lensphys.fitting.linear.multiscale import MultiscaleSource
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.separable import PixelSource, ShapeletSource
from lensphys.fitting.linear.sersics import MOST_SERSICS, SersicComponent, list_prefixes
from lensphys.ground.numbers import is_count, is_number
from lensphys.mass.base import MassProfile
from lensphys.parameters import read_parameter
from lensphys.rendering import Pixels

#: Kinds of sources and of lens light.
SOURCES = ("sersic", "shapelets", "pixels")
LIGHTS = (None, "sersic", "mge")
#: Order of the cosines of a background.
SKIES = {False: -1, True: 0, "smooth": 5}
#: Highest order of shapelets; half the number of pixels a side of a grid.
MOST_ORDER = 40
#: Order of the shapelets that find the lens.
FIRST_ORDER = 10
#: Orders of the two scales that are tried in turn, and the ratio of these scales.
TWO_SCALES, _RATIO = ((12, 8), (16, 8), (22, 10), (28, 12)), 2.5
#: Steepness of the regularisation of one scale, and of two.
_STEEPNESS = (2.0, 3.0)


@dataclasses.dataclass(frozen=True)
class LinearModel:
    """Kind of scene.

    Args:
        mass, multipoles, neighbours: see :class:`lensphys.fitting.deflectors.Deflectors`.
        lens_light: ``"mge"``, a multi-Gaussian expansion; ``"sersic"``; several Sersic
            profiles, ``("sersic", "sersic")``; or None.
        source: ``"shapelets"``, ``"pixels"``, ``"sersic"`` or several of the last.
        source_order: highest order of the shapelets, or those of two scales, ``(12, 8)``; half the
            pixels a side of a grid. None begins with 10, and goes on to two scales; see
            :func:`lensphys.fitting.linear.stages.raise_order`.
        sky: fit a constant background too; ``"smooth"`` for one of low order over the field.
        model_error: part of the model that counts as noise; or that of the lens light and that of
            the lensed source.
        source_steepness: power of the order with which the regularisation of shapelets grows; None
            is 2 for one scale and 3 for two.
        outskirts: order of further shapelets of a broader scale; 0 for none.

    Raises:
        ValueError: for other kinds, and an order or error out of range.
    """

    mass: str = "SIE"
    multipoles: Sequence[int] = ()
    neighbours: Sequence[MassProfile] = ()
    lens_light: str | tuple[str, ...] | None = None
    source: str | tuple[str, ...] = "shapelets"
    source_order: int | tuple[int, int] | None = None
    sky: bool | str = False
    model_error: float | tuple[float, float] = 0.0
    outskirts: int = 0
    source_steepness: float | None = None

    def __post_init__(self) -> None:
        for name, known in (("source", SOURCES), ("lens_light", LIGHTS)):
            # One of several is one; dataclasses that are frozen are set thus.
            object.__setattr__(self, name, _read_kind(name, getattr(self, name), known))
        if not isinstance(self.sky, bool | str) or self.sky not in SKIES:
            raise ValueError(f"sky must be False, True or 'smooth', got {self.sky!r}")
        order, outskirts = _read_order(self.source_order, self.source)
        if outskirts:
            object.__setattr__(self, "source_order", order)
            object.__setattr__(self, "outskirts", outskirts)
        if self.source_steepness is not None:
            read_parameter("source_steepness", self.source_steepness, positive=True)
        given: Any = self.model_error
        parts = given if isinstance(given, tuple | list) and len(given) == 2 else (given,)
        if not all(is_number(error) and 0 <= error < 1 for error in parts):
            raise ValueError(
                "model_error must be from 0 to below 1, or two such numbers, of lens light and "
                f"source, got {self.model_error!r}"
            )

    @property
    def errors(self) -> tuple[float, float]:
        """Part of the lens light, and of the lensed source, that counts as noise."""
        error = self.model_error
        both = error if isinstance(error, tuple | list) else (error, error)
        return both[0], both[1]

    def take(self, index: Tensor) -> LinearModel:
        """Kind of scene of some images: with the neighbours that belong to them."""
        taken = Deflectors(self.mass, neighbours=self.neighbours).take(index).neighbours
        return dataclasses.replace(self, neighbours=taken)

    def scene(self, pixels: Pixels) -> LinearScene:
        """Scene of this kind, for images of these pixels."""
        deflectors = Deflectors(self.mass, multipoles=self.multipoles, neighbours=self.neighbours)
        sources, lights = self._list_sources(), self._list_lights(pixels)
        return LinearScene(deflectors, sources, lights, sky=self.background(pixels))

    def _list_sources(self) -> list[Component]:
        if self.source == "shapelets":
            order, given = self.order, self.source_steepness
            steepness = _STEEPNESS[bool(self.outskirts)] if given is None else given
            if self.outskirts:
                return [MultiscaleSource([(order, 1.0), (self.outskirts, _RATIO)], steepness)]
            return [ShapeletSource(order, steepness=steepness)]
        if self.source == "pixels":
            return [PixelSource(2 * self.order)]
        return [SersicComponent(prefix) for prefix in list_prefixes("source", self.sources)]

    def _list_lights(self, pixels: Pixels) -> list[Component]:
        if self.lens_light is None:
            return []
        if self.lens_light == "mge":
            return [GaussianLight(pixels)]
        prefixes = list_prefixes("lens_light", count_sersics(self.lens_light))
        return [SersicComponent(prefix, pixels) for prefix in prefixes]

    @property
    def sources(self) -> int:
        """Number of Sersic profiles of the source; 0 for other kinds."""
        return count_sersics(self.source)

    @property
    def steps(self) -> list[LinearModel]:
        """Models of low order that lead to this one, in turn.

        Several Sersic profiles follow shapelets, which find the lens, and come one by one.
        """
        sources: list[str | tuple[str, ...]] = [self.source]
        if self.sources > 1:
            sources = ["shapelets", *(("sersic",) * (n + 1) for n in range(self.sources))]
        low = self.first_order
        return [
            dataclasses.replace(self, source=kind, source_order=low, outskirts=0)
            for kind in sources
        ]

    @property
    def order(self) -> int:
        """Highest order of the shapelets, of the finer scale."""
        return _read_order(self.source_order, self.source)[0] or FIRST_ORDER

    @property
    def first_order(self) -> int:
        """Order that decides between the starting points."""
        return min(self.order, FIRST_ORDER)

    @property
    def further(self) -> list[LinearModel]:
        """Models that may follow, in turn: with sources of more amplitudes or a broader scale."""
        if self.source != "shapelets":
            return []
        if self.source_order is not None:
            return [self]
        return [
            dataclasses.replace(self, source_order=order, outskirts=outskirts)
            for order, outskirts in TWO_SCALES
        ]

    def background(self, pixels: Pixels) -> Sky | None:
        """Background of this kind."""
        return Sky(pixels, SKIES[self.sky]) if self.sky else None


def _read_order(given: Any, source: Any) -> tuple[int | None, int]:
    """Check an order, and return those of both scales; 0 for one scale alone."""
    if isinstance(given, tuple | list):
        if len(given) == 2 and all(is_count(n) and n <= MOST_ORDER for n in given):
            if source != "shapelets":
                raise ValueError("source_order of two scales is that of source='shapelets'")
            return given[0], given[1]
    elif given is None or (is_count(given) and given <= MOST_ORDER):
        return given, 0
    raise ValueError(
        f"source_order must be a whole number from 1 to {MOST_ORDER}, or two of them, got {given!r}"
    )


def count_sersics(kind: str | Sequence[str] | None) -> int:
    """Number of Sersic profiles of a kind of source or of lens light."""
    return len(kind) if isinstance(kind, tuple) else int(kind == "sersic")


def _read_kind(
    name: str, given: Any, known: tuple[str | None, ...]
) -> str | tuple[str, ...] | None:
    """Check a kind of light, and take a list of one profile for that profile."""
    if isinstance(given, list | tuple) and given and all(kind == "sersic" for kind in given):
        if len(given) > MOST_SERSICS:
            raise ValueError(
                f"{name} may have up to {MOST_SERSICS} Sersic profiles, got {len(given)}"
            )
        return "sersic" if len(given) == 1 else tuple(given)
    if isinstance(given, str | None) and given in known:
        return given
    kinds = ", ".join(str(kind) for kind in known)
    several = "('sersic', 'sersic')"
    raise ValueError(
        f"{name} must be one of {kinds}, or several Sersic profiles, {several}, got {given!r}"
    )
