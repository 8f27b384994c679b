"""The envelope of a lens galaxy: a disc about its bulge, turned against it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from pydantic import Field

from lensphys.ground.config import Strict
from simulate.light.components import Components
from simulate.light.lens_light import AxisRatio, PositiveLimits, Share, ellipse, sersic

#: Index of an exponential disc (Freeman 1970, ApJ 160, 811).
_DISC = 1.0

Profile = tuple[str, Mapping[str, float]]

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
    (profile,) = bulge.profiles
    profiles = split_galaxy(config, rng, profile)
    (_, whole), (_, inner), (_, disc) = profile, *profiles
    share = 1 - inner["amplitude"] / whole["amplitude"]
    values = (share, disc["R_sersic"], disc["e1"], disc["e2"])
    labels = {**bulge.labels, **dict(zip(ENVELOPE_LABELS, values, strict=True))}
    return Components(profiles, labels)


def split_galaxy(
    config: EnvelopeConfig, rng: np.random.Generator, galaxy: Profile
) -> tuple[Profile, Profile]:
    """The bulge and the disc of a galaxy that has a Sersic profile, as bright together as it.

    Args:
        config: of the disc.
        rng: random numbers of this image.
        galaxy: with all of its light in the bulge.
    """
    name, p = galaxy
    share, size, q = (
        rng.uniform(*limits) for limits in (config.share, config.size, config.axis_ratio)
    )
    angle = 0.5 * math.atan2(p["e2"], p["e1"]) + math.radians(rng.normal(0.0, config.twist))
    _, of_unit_flux = sersic(1.0, p["R_sersic"], p["n_sersic"])
    flux = p["amplitude"] / of_unit_flux["amplitude"]
    place = {axis: p[axis] for axis in ("center_x", "center_y")}
    disc = sersic(share * flux, size * p["R_sersic"], _DISC, **ellipse(q, angle), **place)
    return (name, {**p, "amplitude": (1 - share) * p["amplitude"]}), disc
