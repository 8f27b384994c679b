"""The light of lens galaxies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from lensphys.light import N_SERSIC
from simulate.light.components import Components

if TYPE_CHECKING:
    from lensphys.instruments import Instrument

#: Least axis ratio, for lenses and look-alikes that scatter would make too flat.
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
    scatter: float = Field(ge=0, le=5, description="mag")

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.magnitude is None) == (self.flux is None):
            raise ValueError("give either magnitude or flux, and null for the other")
        return self

    def flux_at_one_arcsec(self, camera: Instrument) -> float:
        """e-/s of a galaxy whose Einstein radius is 1 arcsec, without scatter.

        Raises:
            InputError: for a magnitude and an instrument without zero point.
        """
        if self.magnitude is None:
            assert self.flux is not None
            return self.flux
        if camera.band is None:
            raise InputError(
                "lens_light.brightness.magnitude needs an instrument with a zero point; give "
                "lens_light.brightness.flux"
            )
        return camera.flux(self.magnitude)


class EarlyTypeConfig(Strict):
    """An early-type galaxy of the brightness and size of a lens."""

    brightness: BrightnessConfig
    log10_size: float = Field(ge=-2, le=2, description="mean of log10(R_sersic / theta_E)")
    log10_size_scatter: float = Field(ge=0, le=1)
    n_sersic: float
    n_sersic_scatter: float = Field(ge=0)
    n_sersic_limits: Limits

    @model_validator(mode="after")
    def _valid_index(self) -> Self:
        low, high = self.n_sersic_limits
        least, most = N_SERSIC
        if not least <= low <= self.n_sersic <= high <= most:
            raise ValueError(
                f"n_sersic must lie in n_sersic_limits, and these from {least:g} to {most:g}"
            )
        return self


class LensLightConfig(EarlyTypeConfig):
    """The light of a lens, which follows its mass."""

    enabled: bool
    axis_ratio: float = Field(gt=0, description="mean of q of the mass over q of the light")
    axis_ratio_scatter: float = Field(ge=0)
    angle_scatter: float = Field(ge=0, description="between mass and light, degrees")
    center_scatter: float = Field(ge=0, description="between mass and light, arcsec, per axis")


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
        config: relation of light to mass.
        rng: random numbers of this image.
        camera: turns magnitudes into e-/s.
        theta_E, e1, e2, center_x, center_y: of the mass.

    Raises:
        InputError: for a magnitude and an instrument without zero point.
    """
    magnitude, flux = brightness(config.brightness, rng, camera, theta_E)
    radius, n_sersic = radius_and_index(config, rng, theta_E)
    modulus = math.hypot(e1, e2)
    ratio = max(rng.normal(config.axis_ratio, config.axis_ratio_scatter), 0.5 * config.axis_ratio)
    q = (1 - modulus) / (1 + modulus) / ratio
    # A round mass points nowhere, and its light anywhere.
    angle = 0.5 * math.atan2(e2, e1) if modulus else rng.uniform(0, math.pi)
    angle += math.radians(rng.normal(0.0, config.angle_scatter))
    light = {
        "R_sersic": radius,
        "n_sersic": n_sersic,
        **ellipse(q, angle),
        "center_x": center_x + rng.normal(0.0, config.center_scatter),
        "center_y": center_y + rng.normal(0.0, config.center_scatter),
    }
    labels = {"magnitude": magnitude, "flux": flux} | light
    return Components(
        (sersic(flux, **light),), {f"lens_light_{name}": v for name, v in labels.items()}
    )


def brightness(
    config: BrightnessConfig, rng: np.random.Generator, camera: Instrument, theta_E: float
) -> tuple[float, float]:
    """AB magnitude (NaN where the instrument has no zero point) and total flux, e-/s."""
    offset = rng.normal(0.0, config.scatter) - 5 * math.log10(theta_E)
    flux = config.flux_at_one_arcsec(camera) * 10 ** (-0.4 * offset)
    return math.nan if config.magnitude is None else config.magnitude + offset, flux


def radius_and_index(
    config: EarlyTypeConfig, rng: np.random.Generator, theta_E: float
) -> tuple[float, float]:
    """Half-light radius (arcsec) and Sersic index."""
    radius = theta_E * 10 ** rng.normal(config.log10_size, config.log10_size_scatter)
    n_sersic = rng.normal(config.n_sersic, config.n_sersic_scatter)
    return radius, float(np.clip(n_sersic, *config.n_sersic_limits))


def sersic(
    flux: float, R_sersic: float, n_sersic: float, **shape: float
) -> tuple[str, dict[str, float]]:
    """A Sersic profile of a total flux, e-/s, as one of :class:`Components`."""
    from lensphys.light.sersic import b_n  # torch, which a configuration does without

    # The numbers of sersic_total_flux without its checks, which take a tenth of the drawing.
    b = b_n(n_sersic)
    unit = n_sersic * math.exp(b) / math.pow(b, 2 * n_sersic) * math.gamma(2 * n_sersic)
    amplitude = flux / (2 * math.pi * R_sersic**2 * unit)
    return "sersic", {
        "amplitude": amplitude,
        "R_sersic": R_sersic,
        "n_sersic": n_sersic,
        **shape,
    }


def ellipse(q: float, angle: float) -> dict[str, float]:
    """Ellipticity; an axis ratio above 1 is its inverse, turned by a right angle."""
    q = min(max(q, _Q_MIN), 1 / _Q_MIN)
    modulus = (1 - q) / (1 + q)
    return {"e1": modulus * math.cos(2 * angle), "e2": modulus * math.sin(2 * angle)}
