"""A substructure class from outside the package: singular isothermal subhaloes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from lensphys.ground.config import Strict
from simulate.dataset.columns import Meaning
from simulate.substructure.base import Array, Draw, Drawn, Substructure


class IsothermalConfig(Strict):
    """Equal subhaloes near the Einstein ring."""

    n_subhalos: int = Field(gt=0)
    theta_E: float = Field(gt=0, description="of each, arcsec")


class IsothermalSubhalos(Draw[IsothermalConfig]):
    """Subhaloes at random angles on the Einstein ring."""

    section = IsothermalConfig
    profile = "SIS"
    columns = ("isothermal_angle",)

    def draw(
        self,
        section: IsothermalConfig,
        scale: Any,
        params: Mapping[str, Array],
        rngs: list[np.random.Generator],
    ) -> Drawn:
        angle = 2 * math.pi * np.stack([rng.random(section.n_subhalos) for rng in rngs])
        radius = params["theta_E"][:, None]
        deflectors = {
            "theta_E": np.full(angle.shape, section.theta_E),
            "center_x": params["center_x"][:, None] + radius * np.cos(angle),
            "center_y": params["center_y"][:, None] + radius * np.sin(angle),
        }
        labels = {
            "n_substructure": np.full(len(rngs), float(section.n_subhalos)),
            "isothermal_angle": angle[:, 0],
        }
        return Drawn(deflectors, labels)


ISOTHERMAL = Substructure(
    "isothermal",
    draws={preset: IsothermalSubhalos() for preset in ("published", "physical")},
    columns={
        "isothermal_angle": Meaning("rad", "direction of the first subhalo", "`isothermal`"),
    },
    remarks={"n_substructure": "`isothermal`: subhaloes"},
)
