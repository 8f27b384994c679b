"""Substructure as point masses: how the published data sets hold it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulate.substructure.base import Array, Draw, Drawn, SectionT

if TYPE_CHECKING:
    from simulate.substructure.lens_plane import MassScale

#: Point masses in the lens plane, (3, K): mass in solar masses, x and y in arcsec.
PointMasses = NDArray[np.float64]


class PointMassDraw(Draw[SectionT]):
    """Draws point masses image by image."""

    profile = "PointMass"

    @abstractmethod
    def draw_one(
        self, section: SectionT, rng: np.random.Generator
    ) -> tuple[PointMasses, dict[str, float]]:
        """Draw the point masses of one image, and the columns that describe them."""

    def draw(
        self,
        section: SectionT,
        scale: MassScale,
        params: Mapping[str, Array],
        rngs: list[np.random.Generator],
    ) -> Drawn:
        drawn = [self.draw_one(section, rng) for rng in rngs]
        most = max(masses.shape[1] for masses, _ in drawn)
        padded = np.zeros((len(drawn), 3, most))
        for row, (masses, _) in zip(padded, drawn, strict=True):
            row[:, : masses.shape[1]] = masses
        mass, x, y = padded[:, 0], padded[:, 1], padded[:, 2]
        labels = {
            "substructure_mass": np.array([float(np.sum(masses[0])) for masses, _ in drawn]),
            "n_substructure": np.array([float(masses.shape[1]) for masses, _ in drawn]),
        }
        for name in self.columns:
            labels[name] = np.array([values[name] for _, values in drawn])
        return Drawn({"theta_E": scale.theta_E(mass), "center_x": x, "center_y": y}, labels)
