"""Galaxies that could be taken for lenses, and are none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from lensphys.ground.config import Strict
from lensphys.light import N_SERSIC
from simulate.light.components import Components
from simulate.light.envelope import EnvelopeConfig, split_galaxy
from simulate.light.lens_light import (
    AxisRatio,
    LensLightConfig,
    Limits,
    PositiveLimits,
    Share,
    brightness,
    ellipse,
    radius_and_index,
    sersic,
)

if TYPE_CHECKING:
    from lensphys.instruments import Instrument

#: Kinds of look-alikes, in the order of the column ``non_lens_kind``.
NON_LENS_KINDS = ("single", "blend", "ring", "spiral", "edge_on")

#: Kinds whose first profile is a galaxy like that of a lens, where it is no disc.
_WITH_A_GALAXY = ("single", "blend", "ring")

#: Index of an exponential disc (Freeman 1970, ApJ 160, 811), and of the bulge in it.
_DISC, _BULGE = 1.0, 2.0


class FractionsConfig(Strict):
    """Fraction of the non-lenses that are of each kind."""

    single: float = Field(ge=0)
    blend: float = Field(ge=0)
    ring: float = Field(ge=0)
    spiral: float = Field(ge=0)
    edge_on: float = Field(ge=0)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if not math.isclose(sum(self.model_dump().values()), 1.0, abs_tol=1e-6):
            raise ValueError("the fractions must sum to 1")
        return self


class BlendConfig(Strict):
    """One or two companions in front of or behind a galaxy."""

    separation: PositiveLimits = Field(description="distance in units of theta_E")
    R_sersic: PositiveLimits = Field(description="arcsec, log-uniform")
    n_sersic: Limits
    axis_ratio: AxisRatio

    @model_validator(mode="after")
    def _valid_index(self) -> Self:
        least, most = N_SERSIC
        if self.n_sersic[0] < least or self.n_sersic[1] > most:
            raise ValueError(f"n_sersic must be from {least:g} to {most:g}")
        return self


class RingConfig(Strict):
    """A ring about a galaxy, with knots of star formation on it."""

    width: PositiveLimits = Field(description="standard deviation over radius")
    axis_ratio: AxisRatio
    knots_max: int = Field(ge=0, le=20)
    knots_share: Share = Field(description="fraction of the ring's light in the knots")


class DiscConfig(Strict):
    """A disc with a bulge."""

    disc_size: PositiveLimits = Field(
        description="half-light radius along the major axis over R_sersic of an early type"
    )
    bulge_share: Share
    bulge_size: PositiveLimits = Field(description="R_sersic of the bulge over that of the disc")
    axis_ratio: AxisRatio


class SpiralConfig(DiscConfig):
    """A disc with two spiral arms, seen face-on."""

    arm_contrast: Limits
    pitch: Limits = Field(description="degrees")

    @model_validator(mode="after")
    def _valid_arms(self) -> Self:
        if self.arm_contrast[0] < 0 or self.arm_contrast[1] > 20:
            raise ValueError("arm_contrast must be from 0 to 20")
        if self.pitch[0] < 3 or self.pitch[1] > 90:
            raise ValueError("pitch must be from 3 to 90 degrees")
        return self


class EdgeOnConfig(DiscConfig):
    """A disc seen from the side."""


class SingleConfig(Strict):
    """One galaxy, smooth: elliptical or inclined disc."""

    disc_fraction: float = Field(ge=0, le=1)
    axis_ratio: AxisRatio


class NonLensConfig(Strict):
    """Galaxies that could be taken for lenses.

    Each stands in for a lens of the data set, and is as bright: as the galaxy of that lens and its
    arcs together, so that the flux of an image does not give its class away.
    """

    fraction: float = Field(ge=0, lt=1, description="fraction of all images")
    fractions: FractionsConfig
    magnification: PositiveLimits = Field(
        description="magnification of the source whose arcs they stand for, log-uniform"
    )
    center_scatter: float = Field(ge=0, description="arcsec, per axis")
    single: SingleConfig
    blend: BlendConfig
    ring: RingConfig
    spiral: SpiralConfig
    edge_on: EdgeOnConfig


@dataclasses.dataclass(frozen=True)
class StandsFor:
    """The lens that a look-alike takes the place of."""

    theta_E: float
    """arcsec, on the sky"""
    source_flux: float
    """e-/s, unlensed"""


@dataclasses.dataclass(frozen=True)
class _Budget:
    """The light that a look-alike has to spread, e-/s, and its place."""

    galaxy: float
    arcs: float
    theta_E: float
    at: Mapping[str, float]

    @property
    def total(self) -> float:
        return self.galaxy + self.arcs


def draw_non_lens(
    config: NonLensConfig,
    early_type: LensLightConfig,
    rng: np.random.Generator,
    camera: Instrument,
    stands_for: StandsFor,
    envelope: EnvelopeConfig | None = None,
) -> Components:
    """A galaxy, or several, that could be taken for a lens.

    Args:
        config: kinds of look-alikes, and the fraction of each.
        early_type: brightness and size of lens galaxies, and so of look-alikes.
        rng: random numbers of this image.
        camera: turns magnitudes into e-/s.
        stands_for: sets brightness, size and the radius of rings.
        envelope: the discs about the bulges of lens galaxies, which early types here have too.

    Returns:
        Components, labelled with ``non_lens_kind``, a position in :data:`NON_LENS_KINDS`.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    fractions = config.fractions.model_dump()
    weights = np.array([fractions[name] for name in NON_LENS_KINDS])
    kind = int(rng.choice(len(weights), p=weights / weights.sum()))
    theta_E = stands_for.theta_E
    _, flux = brightness(early_type.brightness, rng, camera, theta_E)
    arcs = stands_for.source_flux * _log_uniform(config.magnification, rng)
    at = {name: rng.normal(0.0, config.center_scatter) for name in ("center_x", "center_y")}
    draw = _DRAWS[NON_LENS_KINDS[kind]]
    profiles = draw(config, early_type, rng, _Budget(flux, arcs, theta_E, at))
    like_a_lens = NON_LENS_KINDS[kind] in _WITH_A_GALAXY and profiles[0][1]["n_sersic"] != _DISC
    if envelope is not None and like_a_lens:
        profiles[:1] = split_galaxy(envelope, rng, profiles[0])
    return Components(tuple(profiles), {"non_lens_kind": float(kind)})


Profiles = list[tuple[str, Mapping[str, float]]]


def _single(
    config: NonLensConfig, early_type: LensLightConfig, rng: np.random.Generator, light: _Budget
) -> Profiles:
    return [_galaxy(config, early_type, rng, light, light.total)]


def _blend(
    config: NonLensConfig, early_type: LensLightConfig, rng: np.random.Generator, light: _Budget
) -> Profiles:
    blend = config.blend
    profiles: Profiles = [_galaxy(config, early_type, rng, light, light.galaxy)]
    for share in rng.dirichlet(np.ones(rng.integers(1, 3))):
        distance = light.theta_E * rng.uniform(*blend.separation)
        beside = _beside(light.at, distance, rng.uniform(0, 2 * math.pi))
        shape = _any_ellipse(blend.axis_ratio, rng)
        radius, n_sersic = _log_uniform(blend.R_sersic, rng), rng.uniform(*blend.n_sersic)
        profiles.append(sersic(light.arcs * share, radius, n_sersic, **shape, **beside))
    return profiles


def _ring(
    config: NonLensConfig, early_type: LensLightConfig, rng: np.random.Generator, light: _Budget
) -> Profiles:
    ring, theta_E = config.ring, light.theta_E
    radius, n_sersic = radius_and_index(early_type, rng, theta_E)
    q, angle = rng.uniform(*ring.axis_ratio), rng.uniform(0, math.pi)
    # The galaxy in the middle is round, as the ring would be from above.
    shape = ellipse(q, angle)
    width = theta_E * rng.uniform(*ring.width)
    n_knots = int(rng.integers(0, ring.knots_max + 1))
    share = rng.uniform(*ring.knots_share) if n_knots else 0.0
    amp = light.arcs * (1 - share)
    profiles: Profiles = [
        sersic(light.galaxy, radius, n_sersic, **ellipse(math.sqrt(q), angle), **light.at),
        ("ring", {"amp": amp, "R_ring": theta_E, "sigma": width, **shape, **light.at}),
    ]
    for weight in rng.dirichlet(np.ones(n_knots)) if n_knots else ():
        where = rng.uniform(0, 2 * math.pi)
        along = theta_E * math.cos(where) / math.sqrt(q)
        across = theta_E * math.sin(where) * math.sqrt(q)
        place = _beside(light.at, math.hypot(along, across), angle + math.atan2(across, along))
        flux = light.arcs * share * weight
        profiles.append(sersic(flux, width, 0.5, **ellipse(1.0, 0.0), **place))
    return profiles


def _spiral(
    config: NonLensConfig, early_type: LensLightConfig, rng: np.random.Generator, light: _Budget
) -> Profiles:
    spiral = config.spiral
    radius, size, share = _disc(spiral, early_type, rng, light.theta_E)
    q, angle = rng.uniform(*spiral.axis_ratio), rng.uniform(0, math.pi)
    pitch = math.radians(rng.uniform(*spiral.pitch))
    disc = {
        "arm_contrast": rng.uniform(*spiral.arm_contrast),
        "pitch": pitch if rng.uniform() < 0.5 else math.pi - pitch,
        "R_core": size,
        "phi_arm": rng.uniform(0, 2 * math.pi),
    }
    _, exponential = sersic(
        light.total * (1 - share), radius * math.sqrt(q), _DISC, **ellipse(q, angle), **light.at
    )
    return [
        sersic(light.total * share, size, _BULGE, **ellipse(1.0, 0.0), **light.at),
        ("spiral", {**exponential, **disc}),
    ]


def _edge_on(
    config: NonLensConfig, early_type: LensLightConfig, rng: np.random.Generator, light: _Budget
) -> Profiles:
    edge_on = config.edge_on
    radius, size, share = _disc(edge_on, early_type, rng, light.theta_E)
    q, angle = rng.uniform(*edge_on.axis_ratio), rng.uniform(0, math.pi)
    bulge, disc = ellipse(math.sqrt(q), angle), ellipse(q, angle)
    return [
        sersic(light.total * share, size, _BULGE, **bulge, **light.at),
        sersic(light.total * (1 - share), radius * math.sqrt(q), _DISC, **disc, **light.at),
    ]


_DRAWS: dict[
    str, Callable[[NonLensConfig, LensLightConfig, np.random.Generator, _Budget], Profiles]
] = {
    "single": _single,
    "blend": _blend,
    "ring": _ring,
    "spiral": _spiral,
    "edge_on": _edge_on,
}


def _galaxy(
    config: NonLensConfig,
    early_type: LensLightConfig,
    rng: np.random.Generator,
    light: _Budget,
    flux: float,
) -> tuple[str, dict[str, float]]:
    """One smooth galaxy of this flux: early type or disc."""
    radius, n_sersic = radius_and_index(early_type, rng, light.theta_E)
    if rng.uniform() < config.single.disc_fraction:
        n_sersic = _DISC
    return sersic(flux, radius, n_sersic, **_any_ellipse(config.single.axis_ratio, rng), **light.at)


def _disc(
    kind: DiscConfig, early_type: LensLightConfig, rng: np.random.Generator, theta_E: float
) -> tuple[float, float, float]:
    """Half-light radii of a disc from above and of its bulge (arcsec), and the bulge's share."""
    radius, _ = radius_and_index(early_type, rng, theta_E)
    radius *= rng.uniform(*kind.disc_size)
    return radius, radius * rng.uniform(*kind.bulge_size), rng.uniform(*kind.bulge_share)


def _beside(at: Mapping[str, float], distance: float, angle: float) -> dict[str, float]:
    return {
        "center_x": at["center_x"] + distance * math.cos(angle),
        "center_y": at["center_y"] + distance * math.sin(angle),
    }


def _any_ellipse(axis_ratio: tuple[float, float], rng: np.random.Generator) -> dict[str, float]:
    return ellipse(rng.uniform(*axis_ratio), rng.uniform(0, math.pi))


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))
