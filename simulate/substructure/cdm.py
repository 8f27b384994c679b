"""Cold dark matter: subhaloes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, model_validator

from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from simulate.dataset.columns import Meaning
from simulate.distributions import power_law
from simulate.substructure.base import Array, Draw, Drawn, Substructure
from simulate.substructure.point_masses import PointMassDraw, PointMasses

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

    from simulate.substructure.lens_plane import LensPlane

#: Most subhaloes that an image may have on average.
_MOST = 20_000


class PointSubhaloConfig(Strict):
    """Subhaloes as point masses."""

    n_subhalos: int = Field(gt=0, le=10_000)
    mass_min: float = Field(gt=0)
    mass_max: float = Field(gt=0)
    mass_slope: float = Field(ge=-5, le=5, description="exponent of dN/dm")
    r_min: float = Field(ge=0, description="arcsec from the centre")
    r_max: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.mass_min > self.mass_max or self.r_min > self.r_max:
            raise ValueError("mass_min and r_min must not be above mass_max and r_max")
        return self


class PointSubhalos(PointMassDraw[PointSubhaloConfig]):
    """Subhaloes with a power-law mass function, uniform in radius and angle.

    DeepLenseSim draws a Poisson number of subhaloes and then ignores it, and samples
    ``dN/dm ~ m^-0.9`` where its comment says -1.9; the published data sets are what it does.
    """

    section = PointSubhaloConfig

    def draw_one(
        self, section: PointSubhaloConfig, rng: np.random.Generator
    ) -> tuple[PointMasses, dict[str, float]]:
        n = section.n_subhalos
        mass = power_law(
            rng.uniform(size=n), section.mass_min, section.mass_max, section.mass_slope
        )
        radius = rng.uniform(section.r_min, section.r_max, n)
        angle = rng.uniform(0, 2 * math.pi, n)
        return np.stack([mass, radius * np.sin(angle), radius * np.cos(angle)]), {}


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


class Subhalos(Draw[SubhaloConfig]):
    """Truncated NFW haloes: a Poisson number, uniform over a disc about the lens.

    The mass that they are expected to have had at infall is the fraction ``substructure_fraction``
    of the mass of the lens inside the disc, as Gilman et al. 2020 normalise theirs. Tides have left
    them about 0.6 of it; half of what lies near the centre of the host on the sky lies far in front
    of it or behind, where tides are weaker.
    """

    section = SubhaloConfig
    profile = "TNFW"
    columns = ("substructure_infall_mass", "heaviest_subhalo_mass")

    def check(self, section: SubhaloConfig, plane: LensPlane, largest: float) -> None:
        disc = section.disc_radius * largest * plane.kpc_per_arcsec
        if disc > section.host_radius:
            raise InputError(
                f"cdm: host_radius of {section.host_radius:g} kpc lies inside the disc of "
                f"subhaloes, {disc:.3g} kpc in the largest lens"
            )

    def draw(
        self,
        section: SubhaloConfig,
        scale: LensPlane,
        params: Mapping[str, Array],
        rngs: list[np.random.Generator],
    ) -> Drawn:
        theta_E, gamma = params["theta_E"], params["gamma"]
        inside = math.pi * theta_E**2 * scale.sigma_critical * section.disc_radius ** (3 - gamma)
        mean = params["substructure_fraction"] * inside / mean_mass(section)
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

        mass = power_law(u[0], section.mass_min, section.mass_max, section.mass_slope)
        radius = section.disc_radius * theta_E[:, None] * np.sqrt(u[1])
        angle = 2 * math.pi * u[2]
        scatter = 10 ** (section.concentration_dex * _normal(u[3]))
        c = concentration(mass, scale.z_lens, scale.cosmology) * scatter
        Rs, alpha_Rs = nfw_angles(mass, c, scale)
        projected = radius * scale.kpc_per_arcsec
        depth = line_of_sight_distance(u[4], projected, section.core_radius, section.host_radius)
        r = np.hypot(projected, depth)
        deflectors = {
            "Rs": Rs,
            "alpha_Rs": np.where(there, alpha_Rs, 0.0),
            "r_trunc": tidal_radius(mass, r) / scale.kpc_per_arcsec,
            "center_x": params["center_x"][:, None] + radius * np.cos(angle),
            "center_y": params["center_y"][:, None] + radius * np.sin(angle),
        }
        bound = bound_mass(Rs, deflectors["alpha_Rs"], deflectors["r_trunc"], scale)
        infall = np.where(there, mass, 0.0)
        labels = {
            "substructure_mass": bound.sum(1),
            "substructure_infall_mass": infall.sum(1),
            "heaviest_subhalo_mass": infall.max(1, initial=0.0),
            "n_substructure": np.array(counts, np.float64),
        }
        return Drawn(deflectors, labels)


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


def mean_mass(section: SubhaloConfig) -> float:
    """Mean mass of a subhalo at infall, solar masses."""
    low, high, slope = section.mass_min, section.mass_max, section.mass_slope
    return _power_integral(low, high, slope + 1) / _power_integral(low, high, slope)


def _power_integral(low: float, high: float, exponent: float) -> float:
    if abs(exponent + 1) < 1e-12:
        return math.log(high / low)
    return float((high ** (exponent + 1) - low ** (exponent + 1)) / (exponent + 1))


def _normal(u: Array) -> Array:
    from scipy.special import ndtri

    # A uniform draw may be 0, whose quantile is infinite.
    return np.asarray(ndtri(u.clip(1e-12, 1 - 1e-12)))


def line_of_sight_distance(u: Array, projected: Array, core: float, edge: float) -> Array:
    """Distance from the lens plane along the line of sight, kpc.

    The density goes as ``(1 + r^2 / core^2)^(-3/2)``. Its cumulative distribution is
    ``z / sqrt(core^2 + R^2 + z^2)``, up to where ``r`` is ``edge``.
    """
    a2 = core**2 + projected**2
    highest2 = (edge**2 - projected**2).clip(min=0)
    s = u * np.sqrt(highest2 / (a2 + highest2))
    return np.asarray(np.sqrt(a2) * s / np.sqrt(1 - s**2))


CDM = Substructure(
    "cdm",
    draws={"published": PointSubhalos(), "physical": Subhalos()},
    columns={
        "substructure_infall_mass": Meaning(
            "solar masses",
            "of all subhaloes together: their M200 before truncation",
            "`cdm`, `physical` and `realistic`",
            after="substructure_mass",
        ),
        "heaviest_subhalo_mass": Meaning(
            "solar masses",
            "of the heaviest subhalo: its M200 at infall, before truncation; 0 without any",
            "`cdm`, `physical` and `realistic`",
            after="substructure_mass",
        ),
    },
    remarks={
        "substructure_mass": "`cdm`: but in `published`, bound to the subhaloes after truncation",
        "substructure_fraction": "`cdm`: expected mass at infall over the mass of the lens, inside "
        "of `cdm.disc_radius` Einstein radii",
        "n_substructure": "`cdm`: subhaloes",
    },
)
