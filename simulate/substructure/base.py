"""The parts of a substructure class: columns, and one way to draw it for each preset."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from simulate.dataset.columns import Meaning

if TYPE_CHECKING:
    from simulate.substructure.lens_plane import LensPlane

Array = NDArray[np.float64]
SectionT = TypeVar("SectionT", bound=Strict)

#: Points on the Einstein ring over which the deflection is averaged: with 256 the radius of the
#: main lens is right to 1e-6 arcsec.
_RING_POINTS = 256


class Drawn(NamedTuple):
    """The substructure of R images."""

    deflectors: dict[str, Array]
    """parameters (R, K) of the mass profile; where an image has fewer than K, the rest deflect by 0
    """
    labels: dict[str, Array]
    """columns (R,) of the data set"""


class Draw(ABC, Generic[SectionT]):
    """The way in which one preset draws the substructure of a class.

    Attributes:
        section: schema of the section in the configuration that bears the name of the class.
        profile: mass profile of :mod:`lensphys` that deflects.
        columns: columns that this draw fills and others may not, in the order they are written.
    """

    section: type[SectionT]
    profile: str
    columns: tuple[str, ...] = ()

    def check(self, section: SectionT, plane: LensPlane, largest: float) -> None:
        """Refuse a section that does not go with the lenses.

        Args:
            section: of the configuration.
            plane: angular scales at the lens.
            largest: Einstein radius, arcsec.

        Raises:
            InputError: if the two contradict each other.
        """

    @abstractmethod
    def draw(
        self,
        section: SectionT,
        scale: Any,
        params: Mapping[str, Array],
        rngs: list[np.random.Generator],
    ) -> Drawn:
        """Draw the substructure of R images.

        Args:
            section: of the configuration.
            scale: turns masses into angles: a
                :class:`~simulate.substructure.lens_plane.MassScale` in the preset ``published``, a
                :class:`~simulate.substructure.lens_plane.LensPlane` in ``physical``.
            params: (R,) columns of the lenses, as far as they are drawn.
            rngs: random numbers of the R images.

        Raises:
            InputError: for what cannot be drawn.
        """

    def share_inside_ring(self, deflectors: dict[str, Array], params: Mapping[str, Array]) -> Array:
        """Mass of the substructure inside the Einstein ring over that of the whole lens, (R,)."""
        scaled = in_einstein_radii(self.profile, deflectors, params)
        return mean_radial_deflection(self.profile, scaled)

    def in_lenstronomy(self, params: dict[str, float]) -> Iterable[tuple[str, dict[str, float]]]:
        """Deflectors that stand for one of these where lenstronomy does not have its profile.

        Args:
            params: of the one.

        Returns:
            Mass profiles, under their names in :mod:`lensphys`, with their parameters.
        """
        return ((self.profile, params),)


@dataclasses.dataclass(frozen=True)
class Substructure:
    """A class of dark-matter substructure.

    Adding one takes a module with such an object, a line in
    :data:`simulate.substructure.SUBSTRUCTURES`, and a section
    ``configs/simulate/substructure/<class>-<preset>.yaml`` for each preset that draws it.
    """

    name: str
    draws: Mapping[str, Draw[Any]]
    """ways to draw it, by preset; a preset that is not named here does not have the class"""
    columns: Mapping[str, Meaning] = dataclasses.field(default_factory=dict)
    """columns of the data set that this class brings, in the order in which they are shown"""
    remarks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """its part in the meaning of columns that all classes share"""
    imported: Callable[[float], dict[str, float]] | None = None
    """columns that follow from the number which DeepLenseSim saves beside an image of the class"""
    smooth: bool = False
    """there is no substructure: nothing is drawn, whatever the preset"""

    def drawn_in(self, preset: str) -> Draw[Any] | None:
        """The way in which a preset draws this class; None where it is smooth.

        Raises:
            InputError: for a preset that does not have the class.
        """
        if self.smooth:
            return None
        if preset not in self.draws:
            known = ", ".join(self.draws)
            raise InputError(
                f"class '{self.name}' has no substructure for preset {preset}; it has one for "
                f"{known}"
            )
        return self.draws[preset]


def in_einstein_radii(
    profile: str, deflectors: Mapping[str, Array], params: Mapping[str, Array]
) -> dict[str, Array]:
    """Deflectors (R, K) about their lens and in units of its Einstein radius.

    All images then share one circle.
    """
    import lensphys as lp
    from lensphys.parameters import parameter_fields

    units = {field.name: field.metadata["unit"] for field in parameter_fields(getattr(lp, profile))}
    scaled = {}
    for name, values in deflectors.items():
        offset = params.get(name, np.zeros(1))[:, None] if name.startswith("center") else 0.0
        unit = params["theta_E"][:, None] if units[name] == "arcsec" else 1.0
        scaled[name] = (values - offset) / unit
    return scaled


def mean_radial_deflection(profile: str, params: Mapping[str, Array]) -> Array:
    """Mean radial deflection of deflectors (R, K) on the unit circle, (R,).

    By Gauss' theorem that is the mass inside the circle.
    """
    import torch

    import lensphys as lp

    angle = torch.arange(_RING_POINTS, dtype=torch.float64) * (2 * math.pi / _RING_POINTS)
    cos, sin = angle.cos()[None].float(), angle.sin()[None].float()
    # In single precision, a quarter of the time, a share of 0.1 is right to 1e-8.
    tensors = {name: torch.from_numpy(values).float() for name, values in params.items()}
    population = lp.Population(getattr(lp, profile)(**tensors))
    alpha_x, alpha_y = population.deflection(cos, sin)
    share: Array = (alpha_x * cos + alpha_y * sin).double().mean((-2, -1)).numpy()
    return share
