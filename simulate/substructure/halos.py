"""Substructure of the preset ``physical``: subhaloes of CDM, and vortices of axions."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Self

import numpy as np
from astropy import constants, units
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from lensphys import cosmology as distances
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from simulate.distributions import AnyDistribution, power_law, within

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

Array = NDArray[np.float64]
#: Parameters of the deflectors of R images, (R, K) each, and what is written down about them, (R,).
Drawn = tuple[dict[str, Array], dict[str, Array]]

#: The speed of light, km/s, and Compton's wavelength of a mass of 1 eV, kpc.
_C = constants.c.to_value("km/s")
_COMPTON = (constants.h * constants.c / units.eV).to_value(units.kpc)
#: Most subhaloes that an image may have on average.
_MOST = 20_000


class SubhaloConfig(Strict):
    """Subhaloes of cold dark matter: truncated NFW haloes."""

    mass_min: float = Field(gt=0, description="M200 at infall, solar masses")
    mass_max: float = Field(gt=0)
    mass_slope: float = Field(ge=-5, le=5, description="exponent of dN/dm")
    disc_radius: float = Field(gt=0, description="they lie within so many Einstein radii")
    concentration_dex: float = Field(ge=0, le=1, description="scatter about Duffy et al. 2008")
    core_radius: float = Field(gt=0, description="kpc, of their number density in the host")
    host_radius: float = Field(gt=0, description="kpc, outside of which there are none")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.mass_min >= self.mass_max:
            raise ValueError("mass_min must be below mass_max")
        if self.core_radius >= self.host_radius:
            raise ValueError("core_radius must be below host_radius")
        return self


class VortexConfig(Strict):
    """A vortex in a halo of ultra-light axions: a uniform line of mass."""

    log10_mass: AnyDistribution = Field(description="axion mass, log10 eV")
    mass_share: float = Field(
        gt=0, le=1, description="its mass over the substructure of a lens of this fraction"
    )
    ring_distance: AnyDistribution = Field(description="its middle, in Einstein radii")

    @field_validator("log10_mass")
    @classmethod
    def _ultra_light(cls, log10_mass: AnyDistribution) -> AnyDistribution:
        return within(log10_mass, -26, -18)

    @field_validator("ring_distance")
    @classmethod
    def _in_the_image(cls, distance: AnyDistribution) -> AnyDistribution:
        return within(distance, 0, 3)


@dataclasses.dataclass(frozen=True)
class LensPlane:
    """What turns masses and lengths into angles at the redshift of the lens.

    Args:
        z_lens, z_source: redshifts.
        cosmology: of astropy's.

    Raises:
        ValueError: for a source that is not behind the lens.
    """

    z_lens: float
    z_source: float
    cosmology: FLRW

    def __post_init__(self) -> None:
        distances.check_behind(self.z_lens, self.z_source)

    @functools.cached_property
    def kpc_per_arcsec(self) -> float:
        """Proper length of an arcsec."""
        d_l = distances.angular_diameter_distance(0.0, self.z_lens, self.cosmology)
        return float(d_l) * 1e3 / (180 / math.pi * 3600)

    @functools.cached_property
    def sigma_critical(self) -> float:
        """Surface density of convergence 1, solar masses per arcsec^2."""
        return float(distances.sigma_critical(self.z_lens, self.z_source, self.cosmology))

    @functools.cached_property
    def critical_density(self) -> float:
        """Of the universe at the redshift of the lens, solar masses per kpc^3."""
        density = self.cosmology.critical_density(self.z_lens)
        return float(density.to_value(units.Msun / units.kpc**3))

    @functools.cached_property
    def efficiency(self) -> float:
        """``D_ls / D_s``."""
        return float(distances.lensing_efficiency(self.z_lens, self.z_source, self.cosmology))

    def velocity_dispersion(self, theta_E: Array) -> Array:
        """km/s, of the isothermal sphere of this Einstein radius (Schneider et al. 1992, 8.35)."""
        radian = theta_E * math.pi / 180 / 3600
        return np.asarray(_C * np.sqrt(radian / (4 * math.pi * self.efficiency)))


def concentration(mass: Array, z: float, cosmology: FLRW) -> Array:
    """Median concentration ``r200 / Rs`` of haloes of ``M200`` (solar masses) at redshift ``z``.

    Duffy et al. 2008 (MNRAS 390, L64), table 1, full sample, ``M200``.
    """
    pivot = 2e12 / (cosmology.H0.value / 100)
    median: Array = 5.71 * (mass / pivot) ** -0.084 * (1 + z) ** -0.47
    return median


def nfw_angles(mass: Array, c: Array, plane: LensPlane) -> tuple[Array, Array]:
    """``Rs`` and ``alpha_Rs``, arcsec, of NFW haloes of ``M200`` (solar masses).

    ``M200`` is inside of the sphere of 200 times the critical density at the lens; the deflection
    at ``Rs`` is ``4 rho_s Rs^2 (1 - ln 2)`` over the critical surface density.
    """
    r200 = (3 * mass / (4 * math.pi * 200 * plane.critical_density)) ** (1 / 3)
    Rs = r200 / c / plane.kpc_per_arcsec
    rho_Rs3 = mass / (4 * math.pi * (np.log1p(c) - c / (1 + c)))
    return Rs, 4 * rho_Rs3 / Rs * (1 - math.log(2)) / plane.sigma_critical


def bound_mass(Rs: Array, alpha_Rs: Array, r_trunc: Array, plane: LensPlane) -> Array:
    """Total mass, solar masses, of truncated NFW haloes (arcsec), all of it finite.

    Baltz et al. 2009 (JCAP 01, 015), eq. A4 for n = 1.
    """
    tau = r_trunc / Rs
    t2 = tau**2
    of_truncation = t2 / (t2 + 1) ** 2 * ((t2 - 1) * np.log(tau) + math.pi * tau - (t2 + 1))
    mass: Array = math.pi * alpha_Rs * Rs / (1 - math.log(2)) * plane.sigma_critical * of_truncation
    return mass


def tidal_radius(mass: Array, r: Array) -> Array:
    """Truncation radius, kpc, of a subhalo of ``M200`` at ``r`` kpc from the centre of its host.

    Gilman et al. 2020 (MNRAS 491, 6077), eq. 8.
    """
    radius: Array = 1.4 * (mass / 1e7) ** (1 / 3) * (r / 50) ** (2 / 3)
    return radius


def draw_subhalos(
    config: SubhaloConfig,
    plane: LensPlane,
    params: dict[str, Array],
    rngs: list[np.random.Generator],
) -> Drawn:
    """Truncated NFW haloes for each of R images: a Poisson number, uniform over a disc.

    What they are expected to have had at infall is the fraction ``params["substructure_fraction"]``
    of the mass of the lens inside the disc, as Gilman et al. 2020
    normalise theirs. Tides have left them about 0.6 of it; half of what lies near the centre of the
    host on the sky lies far in front of it or behind, where tides are weaker.

    Raises:
        InputError: where there would be too many.
    """
    theta_E, gamma = params["theta_E"], params["gamma"]
    inside = math.pi * theta_E**2 * plane.sigma_critical * config.disc_radius ** (3 - gamma)
    mean = params["substructure_fraction"] * inside / _mean_mass(config)
    if mean.max() > _MOST:
        raise InputError(
            f"cdm: {mean.max():.3g} subhaloes an image are too many (at most {_MOST}); raise "
            "mass_min or lower substructure_fraction"
        )
    counts = [int(rng.poisson(value)) for rng, value in zip(rngs, mean, strict=True)]
    u = np.full((5, len(rngs), max(counts)), 0.5)
    for i, (rng, count) in enumerate(zip(rngs, counts, strict=True)):
        u[:, i, :count] = rng.random((5, count))
    there = np.arange(max(counts)) < np.array(counts)[:, None]

    mass = power_law(u[0], config.mass_min, config.mass_max, config.mass_slope)
    radius = config.disc_radius * theta_E[:, None] * np.sqrt(u[1])
    angle = 2 * math.pi * u[2]
    scatter = 10 ** (config.concentration_dex * _normal(u[3]))
    c = concentration(mass, plane.z_lens, plane.cosmology) * scatter
    Rs, alpha_Rs = nfw_angles(mass, c, plane)
    projected = radius * plane.kpc_per_arcsec
    r = np.hypot(projected, _depth(u[4], projected, config.core_radius, config.host_radius))
    deflectors = {
        "Rs": Rs,
        "alpha_Rs": np.where(there, alpha_Rs, 0.0),
        "r_trunc": tidal_radius(mass, r) / plane.kpc_per_arcsec,
        "center_x": params["center_x"][:, None] + radius * np.cos(angle),
        "center_y": params["center_y"][:, None] + radius * np.sin(angle),
    }
    bound = bound_mass(Rs, deflectors["alpha_Rs"], deflectors["r_trunc"], plane)
    labels = {
        "substructure_mass": bound.sum(1),
        "substructure_infall_mass": np.where(there, mass, 0.0).sum(1),
        "n_substructure": np.array(counts, np.float64),
    }
    return deflectors, labels


def draw_vortex(
    config: VortexConfig,
    plane: LensPlane,
    params: dict[str, Array],
    rngs: list[np.random.Generator],
) -> Drawn:
    """A uniform line near the Einstein ring of each of R images, as long as a de Broglie wave.

    Its mass is a share of the fraction ``params["substructure_fraction"]`` of the mass inside the
    Einstein radius; the rest of that fraction is too fine to be told from a smooth lens. About half
    of the line lies outside the ring. The wavelength is ``h / (m sigma_v)``, for the velocity
    dispersion of the lens; vortices as lines of a wavelength: Hui et al. 2021 (JCAP 01, 011). That
    the line has mass, where a vortex in a wave has none, is the convention of DeepLense.
    """
    u = np.stack([rng.random(4) for rng in rngs], axis=1)
    theta_E = params["theta_E"]
    log10_mass = config.log10_mass.quantile(u[0])
    wavelength = de_broglie_wavelength(10**log10_mass, plane.velocity_dispersion(theta_E))
    half_length = wavelength / plane.kpc_per_arcsec / 2
    distance, direction = theta_E * config.ring_distance.quantile(u[1]), 2 * math.pi * u[2]
    center_x = params["center_x"] + distance * np.cos(direction)
    center_y = params["center_y"] + distance * np.sin(direction)
    phi = math.pi * u[3]
    fraction = config.mass_share * params["substructure_fraction"]
    deflectors = {
        "theta_E": theta_E * np.sqrt(fraction),
        "half_length": half_length,
        "phi": phi,
        "center_x": center_x,
        "center_y": center_y,
    }
    labels = {
        "substructure_mass": fraction * math.pi * theta_E**2 * plane.sigma_critical,
        "n_substructure": np.ones(len(rngs)),
        "axion_mass": 10**log10_mass,
        "log10_axion_mass": log10_mass,
        "vortex_angle": phi,
        "vortex_half_length": half_length,
        "vortex_center_x": center_x,
        "vortex_center_y": center_y,
    }
    return {name: values[:, None] for name, values in deflectors.items()}, labels


def de_broglie_wavelength(mass: Array, speed: Array) -> Array:
    """``h / (m v)``, kpc, for a mass in eV (times c^-2) and a speed in km/s."""
    return np.asarray(_COMPTON / mass * (_C / speed))


def _mean_mass(config: SubhaloConfig) -> float:
    low, high, slope = config.mass_min, config.mass_max, config.mass_slope
    return _power_integral(low, high, slope + 1) / _power_integral(low, high, slope)


def _power_integral(low: float, high: float, exponent: float) -> float:
    if abs(exponent + 1) < 1e-12:
        return math.log(high / low)
    return float((high ** (exponent + 1) - low ** (exponent + 1)) / (exponent + 1))


def _normal(u: Array) -> Array:
    from scipy.special import ndtri

    # A uniform draw may be 0, whose quantile is infinite.
    return np.asarray(ndtri(u.clip(1e-12, 1 - 1e-12)))


def _depth(u: Array, projected: Array, core: float, edge: float) -> Array:
    """Distance along the line of sight, kpc, for a density ``(1 + r^2 / core^2)^(-3/2)``.

    Its cumulative distribution is ``z / sqrt(core^2 + R^2 + z^2)``, up to where ``r`` is ``edge``.
    """
    a2 = core**2 + projected**2
    highest2 = (edge**2 - projected**2).clip(min=0)
    s = u * np.sqrt(highest2 / (a2 + highest2))
    return np.asarray(np.sqrt(a2) * s / np.sqrt(1 - s**2))
