"""Light in the image plane: of the lens galaxy, and of look-alikes that are no lenses."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor

import lensphys as lp
from simulate.config import Strict
from simulate.errors import InputError
from simulate.instruments import Instrument

#: What ``non_lens_kind`` counts, from 0 on.
NON_LENS_KINDS = ("single", "blend", "ring", "spiral", "edge_on")

#: Index of an exponential disc (Freeman 1970, ApJ 160, 811), and of the bulge in it.
_DISC, _BULGE = 1.0, 2.0

#: Where ellipticities end, for lenses and look-alikes that scatter would make too flat.
_Q_MIN = 0.1


def _in_order(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] > limits[1]:
        raise ValueError("the first must not be above the second")
    return limits


def _positive(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] <= 0:
        raise ValueError("both must be positive")
    return limits


def _share(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] < 0 or limits[1] > 1:
        raise ValueError("both must be from 0 to 1")
    return limits


def _flattening(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] < _Q_MIN or limits[1] > 1:
        raise ValueError(f"both must be from {_Q_MIN:g} to 1")
    return limits


Limits = Annotated[tuple[float, float], AfterValidator(_in_order)]
PositiveLimits = Annotated[Limits, AfterValidator(_positive)]
Share = Annotated[Limits, AfterValidator(_share)]
AxisRatio = Annotated[Limits, AfterValidator(_flattening)]


class BrightnessConfig(Strict):
    """Total light of a galaxy, with ``L ~ sigma^4`` (Faber & Jackson 1976) and so ``theta_E^2``."""

    magnitude: float | None = Field(
        ge=-50, le=50, description="AB, where theta_E is 1 arcsec; null where flux is given"
    )
    flux: float | None = Field(
        gt=0, description="e-/s, where theta_E is 1 arcsec, for instruments without zero point"
    )
    scatter: float = Field(ge=0, description="mag")

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.magnitude is None) == (self.flux is None):
            raise ValueError("give either magnitude or flux, and null for the other")
        return self


class EarlyTypeConfig(Strict):
    """An early-type galaxy of the brightness and size of a lens."""

    brightness: BrightnessConfig
    log10_size: float = Field(description="mean of log10(R_sersic / theta_E)")
    log10_size_scatter: float = Field(ge=0)
    n_sersic: float
    n_sersic_scatter: float = Field(ge=0)
    n_sersic_limits: Limits

    @model_validator(mode="after")
    def _valid_index(self) -> Self:
        low, high = self.n_sersic_limits
        if not 0.3 <= low <= self.n_sersic <= high <= 10:
            raise ValueError("n_sersic must lie in n_sersic_limits, and these from 0.3 to 10")
        return self


class LensLightConfig(EarlyTypeConfig):
    """The light of a lens, which follows its mass."""

    enabled: bool
    axis_ratio: float = Field(gt=0, description="mean of q of the mass over q of the light")
    axis_ratio_scatter: float = Field(ge=0)
    angle_scatter: float = Field(ge=0, description="between mass and light, degrees")
    center_scatter: float = Field(ge=0, description="between mass and light, arcsec, per axis")


class FractionsConfig(Strict):
    """How many of the non-lenses are of each kind."""

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

    separation: PositiveLimits = Field(description="in units of theta_E")
    flux_ratio: PositiveLimits = Field(description="each over the galaxy, log-uniform")
    R_sersic: PositiveLimits = Field(description="arcsec, log-uniform")
    n_sersic: Limits
    axis_ratio: AxisRatio

    @model_validator(mode="after")
    def _valid_index(self) -> Self:
        if self.n_sersic[0] < 0.3 or self.n_sersic[1] > 10:
            raise ValueError("n_sersic must be from 0.3 to 10")
        return self


class RingConfig(Strict):
    """A ring about a galaxy, with knots of star formation on it."""

    flux_ratio: PositiveLimits = Field(description="ring over galaxy, log-uniform")
    width: PositiveLimits = Field(description="standard deviation over radius")
    axis_ratio: AxisRatio
    knots_max: int = Field(ge=0, le=20)
    knots_share: Share = Field(description="of the light of the ring that is in the knots")


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
    """Galaxies that could be taken for lenses."""

    fraction: float = Field(ge=0, lt=1, description="of all images")
    fractions: FractionsConfig
    theta_E: PositiveLimits = Field(
        description="brightness, size and ring follow as if this were an Einstein radius, arcsec"
    )
    galaxy: EarlyTypeConfig
    center_scatter: float = Field(ge=0, description="arcsec, per axis")
    single: SingleConfig
    blend: BlendConfig
    ring: RingConfig
    spiral: SpiralConfig
    edge_on: EdgeOnConfig


@dataclasses.dataclass(frozen=True)
class Components:
    """The light of one image: profiles, and what the data set says of them."""

    profiles: tuple[tuple[str, Mapping[str, float]], ...]
    """name in :data:`PROFILES` and parameters of each"""
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """columns of the data set"""


#: The profiles that make up a foreground, with the name of the parameter that scales each.
PROFILES: dict[str, tuple[Callable[..., lp.LightProfile], str]] = {
    "sersic": (lp.Sersic, "amplitude"),
    "ring": (lp.Ring, "amp"),
    "spiral": (functools.partial(lp.Spiral, m=2), "amplitude"),
}

#: Columns of a lens; NaN for other images.
LENS_LIGHT_LABELS = (
    "lens_light_magnitude",
    "lens_light_flux",
    "lens_light_R_sersic",
    "lens_light_n_sersic",
    "lens_light_e1",
    "lens_light_e2",
    "lens_light_center_x",
    "lens_light_center_y",
)


@dataclasses.dataclass(frozen=True)
class Foreground:
    """Light in the image plane of a batch of B images; float64 on the CPU, angles in arcsec.

    It is a light profile: ``lp.render(..., lens_light=foreground)`` takes it.
    """

    columns: Mapping[str, Mapping[str, Tensor]]
    """parameters (B, K) of each profile in :data:`PROFILES`; images with fewer than K of them are
    padded with such of no light"""
    labels: Mapping[str, Tensor]
    """(B,) columns of the data set; NaN where a column does not apply"""
    n: int
    """number B of images"""

    def __len__(self) -> int:
        return self.n

    @classmethod
    def stack(cls, components: Sequence[Components]) -> Self:
        """The components of each image as one batch."""
        columns = {}
        for kind, (_, amplitude) in PROFILES.items():
            each = [[p for name, p in one.profiles if name == kind] for one in components]
            most = max(map(len, each), default=0)
            names = next((tuple(p) for rows in each for p in rows), (amplitude,))
            padded = {name: np.zeros((len(each), most)) for name in names}
            for i, rows in enumerate(each):
                for k, values in enumerate(rows):
                    for name in names:
                        padded[name][i, k] = values[name]
            columns[kind] = {name: torch.from_numpy(values) for name, values in padded.items()}
        known = dict.fromkeys(name for one in components for name in one.labels)
        labels = {
            name: torch.tensor(
                [one.labels.get(name, math.nan) for one in components], dtype=torch.float64
            )
            for name in known
        }
        return cls(columns, labels, len(components))

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """Batches one after the other."""
        parts = list(parts)
        columns = {}
        for kind, (_, amplitude) in PROFILES.items():
            tables = [part.columns[kind] for part in parts]
            most = max((table[amplitude].shape[1] for table in tables), default=0)
            names = max((tuple(table) for table in tables), key=len, default=(amplitude,))
            columns[kind] = (
                {
                    name: torch.cat(
                        [
                            _widened(table, name, part.n, most)
                            for table, part in zip(tables, parts, strict=True)
                        ]
                    )
                    for name in names
                }
                if parts
                else {amplitude: torch.zeros(0, 0, dtype=torch.float64)}
            )
        known = dict.fromkeys(name for part in parts for name in part.labels)
        labels = {
            name: torch.cat(
                [
                    part.labels.get(name, torch.full((part.n,), math.nan, dtype=torch.float64))
                    for part in parts
                ]
            )
            for name in known
        }
        return cls(columns, labels, sum(part.n for part in parts))

    def select(self, rows: Tensor | NDArray[np.integer] | slice) -> Self:
        """The images of these numbers, or of a mask or a slice."""
        chosen = torch.arange(self.n)[rows]
        columns = {
            kind: {name: values[chosen] for name, values in table.items()}
            for kind, table in self.columns.items()
        }
        labels = {name: values[chosen] for name, values in self.labels.items()}
        return dataclasses.replace(self, columns=columns, labels=labels, n=len(chosen))

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2, (B, ny, nx), at ``x, y`` (arcsec) of shape (ny, nx) or (B, ny, nx)."""
        total = x.new_zeros(self.n, *x.shape[-2:])
        for kind, (profile, amplitude) in PROFILES.items():
            table = self.columns[kind]
            for k in range(table[amplitude].shape[1]):
                # Few images have as many components as the one that has most.
                rows = torch.nonzero(table[amplitude][:, k])[:, 0]
                light = profile(**{name: values[rows, k] for name, values in table.items()})
                at = (v if v.ndim == 2 else v[rows.to(v.device)] for v in (x, y))
                total.index_add_(0, rows.to(x.device), light.surface_brightness(*at))
        return total


def draw_lens_light(
    config: LensLightConfig,
    rng: np.random.Generator,
    camera: Instrument,
    *,
    theta_E: float,
    e1: float,
    e2: float,
    center_x: float = 0.0,
    center_y: float = 0.0,
) -> Components:
    """The light of a lens: a Sersic profile aligned with its mass.

    Args:
        config: how light follows mass.
        rng: of this image.
        camera: turns magnitudes into e-/s.
        theta_E, e1, e2, center_x, center_y: of the mass.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    magnitude, flux = _brightness(config.brightness, rng, camera, theta_E, "lens_light")
    radius, n_sersic = _early_type(config, rng, theta_E)
    modulus = math.hypot(e1, e2)
    ratio = max(rng.normal(config.axis_ratio, config.axis_ratio_scatter), 0.5 * config.axis_ratio)
    q = (1 - modulus) / (1 + modulus) / ratio
    # A round mass points nowhere, and its light anywhere.
    angle = 0.5 * math.atan2(e2, e1) if modulus else rng.uniform(0, math.pi)
    angle += math.radians(rng.normal(0.0, config.angle_scatter))
    light = {
        "R_sersic": radius,
        "n_sersic": n_sersic,
        **_ellipse(q, angle),
        "center_x": center_x + rng.normal(0.0, config.center_scatter),
        "center_y": center_y + rng.normal(0.0, config.center_scatter),
    }
    labels = {"magnitude": magnitude, "flux": flux} | light
    return Components(
        (_sersic(flux, **light),), {f"lens_light_{name}": v for name, v in labels.items()}
    )


def draw_non_lens(
    config: NonLensConfig,
    rng: np.random.Generator,
    camera: Instrument,
    *,
    theta_E: float | None = None,
) -> Components:
    """A galaxy, or several, that could be taken for a lens.

    Args:
        config: what there is, and how much of it.
        rng: of this image.
        camera: turns magnitudes into e-/s.
        theta_E: makes the non-lens as bright and as large as a lens of this Einstein radius, with
            rings of this radius; drawn from ``config.theta_E`` where not given.

    Returns:
        Components, labelled with ``non_lens_kind``, a position in :data:`NON_LENS_KINDS`.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    fractions = config.fractions.model_dump()
    weights = np.array([fractions[name] for name in NON_LENS_KINDS])
    kind = int(rng.choice(len(weights), p=weights / weights.sum()))
    drawn = rng.uniform(*config.theta_E)  # also where it is given: the rest stays the same
    theta_E = drawn if theta_E is None else theta_E
    _, flux = _brightness(config.galaxy.brightness, rng, camera, theta_E, "non_lens.galaxy")
    at = {name: rng.normal(0.0, config.center_scatter) for name in ("center_x", "center_y")}
    draw = _DRAWS[NON_LENS_KINDS[kind]]
    profiles = draw(config, rng, flux, theta_E, at)
    return Components(tuple(profiles), {"non_lens_kind": float(kind)})


Profiles = list[tuple[str, Mapping[str, float]]]


def _single(
    config: NonLensConfig,
    rng: np.random.Generator,
    flux: float,
    theta_E: float,
    at: Mapping[str, float],
) -> Profiles:
    radius, n_sersic = _early_type(config.galaxy, rng, theta_E)
    if rng.uniform() < config.single.disc_fraction:
        n_sersic = _DISC
    shape = _any_ellipse(config.single.axis_ratio, rng)
    return [_sersic(flux, radius, n_sersic, **shape, **at)]


def _blend(
    config: NonLensConfig,
    rng: np.random.Generator,
    flux: float,
    theta_E: float,
    at: Mapping[str, float],
) -> Profiles:
    blend = config.blend
    profiles = _single(config, rng, flux, theta_E, at)
    for _ in range(rng.integers(1, 3)):
        distance, angle = theta_E * rng.uniform(*blend.separation), rng.uniform(0, 2 * math.pi)
        beside = {
            "center_x": at["center_x"] + distance * math.cos(angle),
            "center_y": at["center_y"] + distance * math.sin(angle),
        }
        shape = _any_ellipse(blend.axis_ratio, rng)
        ratio, radius = _log_uniform(blend.flux_ratio, rng), _log_uniform(blend.R_sersic, rng)
        profiles.append(
            _sersic(flux * ratio, radius, rng.uniform(*blend.n_sersic), **shape, **beside)
        )
    return profiles


def _ring(
    config: NonLensConfig,
    rng: np.random.Generator,
    flux: float,
    theta_E: float,
    at: Mapping[str, float],
) -> Profiles:
    ring = config.ring
    radius, n_sersic = _early_type(config.galaxy, rng, theta_E)
    q, angle = rng.uniform(*ring.axis_ratio), rng.uniform(0, math.pi)
    # The galaxy in the middle is round, as the ring would be from above.
    shape = _ellipse(q, angle)
    width = theta_E * rng.uniform(*ring.width)
    light = flux * _log_uniform(ring.flux_ratio, rng)
    n_knots = int(rng.integers(0, ring.knots_max + 1))
    share = rng.uniform(*ring.knots_share) if n_knots else 0.0
    profiles: Profiles = [
        _sersic(flux, radius, n_sersic, **_ellipse(math.sqrt(q), angle), **at),
        (
            "ring",
            {"amp": light * (1 - share), "R_ring": theta_E, "sigma": width, **shape, **at},
        ),
    ]
    for weight, where in zip(
        rng.dirichlet(np.ones(n_knots)) if n_knots else (),
        rng.uniform(0, 2 * math.pi, n_knots),
        strict=True,
    ):
        along, across = (
            theta_E * math.cos(where) / math.sqrt(q),
            theta_E * math.sin(where) * math.sqrt(q),
        )
        knot = {
            "center_x": at["center_x"] + along * math.cos(angle) - across * math.sin(angle),
            "center_y": at["center_y"] + along * math.sin(angle) + across * math.cos(angle),
        }
        profiles.append(_sersic(light * share * weight, width, 0.5, **_ellipse(1.0, 0.0), **knot))
    return profiles


def _spiral(
    config: NonLensConfig,
    rng: np.random.Generator,
    flux: float,
    theta_E: float,
    at: Mapping[str, float],
) -> Profiles:
    spiral = config.spiral
    radius, size, share = _disc(config, spiral, rng, theta_E)
    q, angle = rng.uniform(*spiral.axis_ratio), rng.uniform(0, math.pi)
    pitch = math.radians(rng.uniform(*spiral.pitch))
    disc = {
        "arm_contrast": rng.uniform(*spiral.arm_contrast),
        "pitch": pitch if rng.uniform() < 0.5 else math.pi - pitch,
        "R_core": size,
        "phi_arm": rng.uniform(0, 2 * math.pi),
    }
    _, exponential = _sersic(
        flux * (1 - share), radius * math.sqrt(q), _DISC, **_ellipse(q, angle), **at
    )
    return [
        _sersic(flux * share, size, _BULGE, **_ellipse(1.0, 0.0), **at),
        ("spiral", {**exponential, **disc}),
    ]


def _edge_on(
    config: NonLensConfig,
    rng: np.random.Generator,
    flux: float,
    theta_E: float,
    at: Mapping[str, float],
) -> Profiles:
    edge_on = config.edge_on
    radius, size, share = _disc(config, edge_on, rng, theta_E)
    q, angle = rng.uniform(*edge_on.axis_ratio), rng.uniform(0, math.pi)
    return [
        _sersic(flux * share, size, _BULGE, **_ellipse(math.sqrt(q), angle), **at),
        _sersic(flux * (1 - share), radius * math.sqrt(q), _DISC, **_ellipse(q, angle), **at),
    ]


_DRAWS: dict[
    str,
    Callable[[NonLensConfig, np.random.Generator, float, float, Mapping[str, float]], Profiles],
] = {
    "single": _single,
    "blend": _blend,
    "ring": _ring,
    "spiral": _spiral,
    "edge_on": _edge_on,
}


def _brightness(
    config: BrightnessConfig,
    rng: np.random.Generator,
    camera: Instrument,
    theta_E: float,
    section: str,
) -> tuple[float, float]:
    """AB magnitude (NaN where the instrument has no zero point) and total flux, e-/s."""
    offset = rng.normal(0.0, config.scatter) - 5 * math.log10(theta_E)
    if config.magnitude is None:
        assert config.flux is not None
        return math.nan, config.flux * 10 ** (-0.4 * offset)
    if camera.band is None:
        raise InputError(
            f"{section}.brightness.magnitude needs an instrument with a zero point; give "
            f"{section}.brightness.flux"
        )
    magnitude = config.magnitude + offset
    return magnitude, camera.flux(magnitude)


def _early_type(
    config: EarlyTypeConfig, rng: np.random.Generator, theta_E: float
) -> tuple[float, float]:
    """Half-light radius (arcsec) and Sersic index."""
    radius = theta_E * 10 ** rng.normal(config.log10_size, config.log10_size_scatter)
    n_sersic = rng.normal(config.n_sersic, config.n_sersic_scatter)
    return radius, float(np.clip(n_sersic, *config.n_sersic_limits))


def _disc(
    config: NonLensConfig,
    kind: DiscConfig,
    rng: np.random.Generator,
    theta_E: float,
) -> tuple[float, float, float]:
    """Half-light radii of a disc from above and of its bulge (arcsec), and the bulge's share."""
    radius, _ = _early_type(config.galaxy, rng, theta_E)
    radius *= rng.uniform(*kind.disc_size)
    return radius, radius * rng.uniform(*kind.bulge_size), rng.uniform(*kind.bulge_share)


def _sersic(
    flux: float, R_sersic: float, n_sersic: float, **shape: float
) -> tuple[str, dict[str, float]]:
    amplitude = flux / lp.sersic_total_flux(1.0, R_sersic, n_sersic)
    return "sersic", {
        "amplitude": amplitude,
        "R_sersic": R_sersic,
        "n_sersic": n_sersic,
        **shape,
    }


def _ellipse(q: float, angle: float) -> dict[str, float]:
    """Ellipticity; an axis ratio above 1 is its inverse, turned by a right angle."""
    q = min(max(q, _Q_MIN), 1 / _Q_MIN)
    modulus = (1 - q) / (1 + q)
    return {"e1": modulus * math.cos(2 * angle), "e2": modulus * math.sin(2 * angle)}


def _any_ellipse(axis_ratio: tuple[float, float], rng: np.random.Generator) -> dict[str, float]:
    return _ellipse(rng.uniform(*axis_ratio), rng.uniform(0, math.pi))


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(limits[0]), math.log(limits[1])))


def _widened(table: Mapping[str, Tensor], name: str, n: int, most: int) -> Tensor:
    """A column with the width of the widest, padded with zeros."""
    wide = torch.zeros(n, most, dtype=torch.float64)
    if name in table:
        wide[:, : table[name].shape[1]] = table[name]
    return wide
