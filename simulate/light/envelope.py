"""The envelope of a lens galaxy: a disc about its bulge, turned against it."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from lensphys.ground.config import Strict
from simulate.light.components import Components
from simulate.light.lens_light import AxisRatio, PositiveLimits, Share, ellipse, sersic

#: Index of an exponential disc (Freeman 1970, ApJ 160, 811).
_DISC = 1.0

#: Columns of the disc of a lens; NaN for other images.
ENVELOPE_LABELS = (
    "lens_light_disc_share",
    "lens_light_disc_R_sersic",
    "lens_light_disc_e1",
    "lens_light_disc_e2",
)


class EnvelopeConfig(Strict):
    """An exponential disc about the bulge of a lens galaxy.

    Ellipticity and position angle of the isophotes change from one to the other.
    """

    share: Share = Field(description="of the light of the galaxy, uniform")
    size: PositiveLimits = Field(description="half-light radius over that of the bulge, uniform")
    axis_ratio: AxisRatio = Field(description="uniform")
    twist: float = Field(ge=0, le=90, description="between both position angles, degrees, normal")


def add_envelope(config: EnvelopeConfig, rng: np.random.Generator, bulge: Components) -> Components:
    """A lens galaxy with a part of its light in a disc.

    Args:
        config: of the disc.
        rng: random numbers of this image.
        bulge: the galaxy as :func:`simulate.light.lens_light.draw_lens_light` draws it, with all
            of its light in the bulge.
    """
    of_galaxy = bulge.labels
    share, size, q = (
        rng.uniform(*limits) for limits in (config.share, config.size, config.axis_ratio)
    )
    flux, radius = of_galaxy["lens_light_flux"], of_galaxy["lens_light_R_sersic"]
    e1, e2 = of_galaxy["lens_light_e1"], of_galaxy["lens_light_e2"]
    angle = 0.5 * math.atan2(e2, e1) + math.radians(rng.normal(0.0, config.twist))
    place = {name: of_galaxy[f"lens_light_{name}"] for name in ("center_x", "center_y")}
    shape = ellipse(q, angle)
    inner = {"n_sersic": of_galaxy["lens_light_n_sersic"], "e1": e1, "e2": e2}
    profiles = (
        sersic((1 - share) * flux, R_sersic=radius, **inner, **place),
        sersic(share * flux, R_sersic=size * radius, n_sersic=_DISC, **shape, **place),
    )
    values = (share, size * radius, shape["e1"], shape["e2"])
    return Components(profiles, {**of_galaxy, **dict(zip(ENVELOPE_LABELS, values, strict=True))})
