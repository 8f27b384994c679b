"""Galaxies beside a lens that shine and deflect light."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from lensphys.ground.config import Strict
from lensphys.instruments import Instrument
from lensphys.lengths import LEAST, MOST
from lensphys.light import N_SERSIC
from simulate.distributions import AnyDistribution, check_within
from simulate.light.lens_light import BrightnessConfig, PositiveLimits, ellipse, sersic

Array = NDArray[np.float64]

#: Random numbers of a neighbour.
DRAWS = 9

#: Columns of a neighbour; NaN in images without one.
NEIGHBOUR_LABELS = (
    "neighbour_theta_E",
    "neighbour_center_x",
    "neighbour_center_y",
    "neighbour_flux",
    "neighbour_R_sersic",
    "neighbour_n_sersic",
    "neighbour_e1",
    "neighbour_e2",
)


class NeighbourConfig(Strict):
    """A galaxy beside the lens, in a fraction of the images: an isothermal sphere that shines."""

    fraction: float = Field(ge=0, le=1, description="of the images")
    distance: PositiveLimits = Field(
        description="from the lens in Einstein radii, uniform over the ring between the two"
    )
    theta_E: Annotated[
        AnyDistribution, AfterValidator(lambda prior: check_within(prior, 1e-3, 1.0))
    ] = Field(description="arcsec")
    R_sersic: Annotated[
        AnyDistribution, AfterValidator(lambda prior: check_within(prior, LEAST, MOST))
    ] = Field(description="arcsec")
    n_sersic: Annotated[
        AnyDistribution, AfterValidator(lambda prior: check_within(prior, *N_SERSIC))
    ]
    axis_ratio: Annotated[
        AnyDistribution, AfterValidator(lambda prior: check_within(prior, 0.1, 1.0))
    ]


def draw_neighbours(
    config: NeighbourConfig,
    brightness: BrightnessConfig,
    camera: Instrument,
    lens: Mapping[str, Array],
    u: Array,
) -> dict[str, Array]:
    """Columns :data:`NEIGHBOUR_LABELS` of B images, NaN in those without a neighbour.

    Args:
        config: of the neighbours.
        brightness: of galaxies of their mass, which is that of lenses.
        camera: turns magnitudes into e-/s.
        lens: (B,) ``theta_E``, ``center_x`` and ``center_y`` of the lenses.
        u: (DRAWS, B) random numbers from 0 to 1.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    from scipy.special import ndtri

    theta_E = config.theta_E.quantile(u[1])
    low, high = config.distance
    distance = lens["theta_E"] * np.sqrt(low**2 + (high**2 - low**2) * u[2])
    direction = 2 * math.pi * u[3]
    # A uniform draw may be 0, whose quantile is infinite.
    scatter = brightness.scatter * ndtri(u[4].clip(1e-12, 1 - 1e-12))
    shapes = [
        ellipse(float(q), math.pi * float(turn))
        for q, turn in zip(config.axis_ratio.quantile(u[7]), u[8], strict=True)
    ]
    columns = {
        "neighbour_theta_E": theta_E,
        "neighbour_center_x": lens["center_x"] + distance * np.cos(direction),
        "neighbour_center_y": lens["center_y"] + distance * np.sin(direction),
        "neighbour_flux": brightness.flux_at_one_arcsec(camera)
        * theta_E**2
        * 10 ** (-0.4 * scatter),
        "neighbour_R_sersic": config.R_sersic.quantile(u[5]),
        "neighbour_n_sersic": config.n_sersic.quantile(u[6]),
        "neighbour_e1": np.array([shape["e1"] for shape in shapes]),
        "neighbour_e2": np.array([shape["e2"] for shape in shapes]),
    }
    there = u[0] < config.fraction
    return {name: np.where(there, values, np.nan) for name, values in columns.items()}


def neighbour_light(columns: Mapping[str, float]) -> tuple[tuple[str, dict[str, float]], ...]:
    """The light of the neighbour of one image; empty where it has none.

    Args:
        columns: :data:`NEIGHBOUR_LABELS` of the image.
    """
    if math.isnan(columns["neighbour_flux"]):
        return ()
    names = ("flux", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
    return (sersic(**{name: columns[f"neighbour_{name}"] for name in names}),)
