"""Dark-matter substructure of the three classes as point masses: the preset ``published``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulate.distributions import power_law

if TYPE_CHECKING:
    from simulate.presets.published import PublishedConfig

#: Point masses in the lens plane, (3, K): mass in solar masses, x and y in arcsec.
PointMasses = NDArray[np.float64]
Draw = Callable[["PublishedConfig", np.random.Generator], tuple[PointMasses, dict[str, float]]]


def draw_no_sub(
    config: PublishedConfig, rng: np.random.Generator
) -> tuple[PointMasses, dict[str, float]]:
    """No substructure."""
    return np.empty((3, 0)), {}


def draw_cdm(
    config: PublishedConfig, rng: np.random.Generator
) -> tuple[PointMasses, dict[str, float]]:
    """Subhaloes with a power-law mass function, uniform in radius and angle.

    DeepLenseSim draws a Poisson number of subhaloes and then ignores it, and samples
    ``dN/dm ~ m^-0.9`` where its comment says -1.9; the published data sets are what it does.
    """
    cdm = config.cdm
    n = cdm.n_subhalos
    mass = power_law(rng.uniform(size=n), cdm.mass_min, cdm.mass_max, cdm.mass_slope)
    radius = rng.uniform(cdm.r_min, cdm.r_max, n)
    angle = rng.uniform(0, 2 * math.pi, n)
    return np.stack([mass, radius * np.sin(angle), radius * np.cos(angle)]), {}


def draw_axion(
    config: PublishedConfig, rng: np.random.Generator
) -> tuple[PointMasses, dict[str, float]]:
    """A vortex: equal point masses on a line through the centre, at a random angle.

    Its half-length is the de Broglie wavelength, inversely proportional to the axion mass.
    """
    axion = config.axion
    n = axion.n_masses
    log10_mass = rng.uniform(axion.log10_mass_min, axion.log10_mass_max)
    half_length = axion.half_length * 10 ** (-22 - log10_mass)
    angle = rng.uniform(0, 2 * math.pi)
    along = np.linspace(-half_length, half_length, n)
    masses = np.full(n, axion.total_mass / n)
    drawn = {
        "axion_mass": 10**log10_mass,
        "log10_axion_mass": log10_mass,
        "vortex_angle": angle % math.pi,  # a line has no direction
        "vortex_half_length": half_length,
    }
    return np.stack([masses, along * math.cos(angle), along * math.sin(angle)]), drawn


#: One line a class.
DRAWS: dict[str, Draw] = {"no_sub": draw_no_sub, "cdm": draw_cdm, "axion": draw_axion}
