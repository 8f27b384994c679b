"""Ultra-light axions: a vortex."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from lensphys.ground.config import Strict
from simulate.dataset.columns import Meaning
from simulate.distributions import AnyDistribution, check_within
from simulate.substructure.base import Array, Draw, Drawn, Substructure, in_einstein_radii
from simulate.substructure.point_masses import PointMassDraw, PointMasses

if TYPE_CHECKING:
    from simulate.substructure.lens_plane import LensPlane

#: Point masses that stand for a uniform line, which lenstronomy does not have.
_LINE_MASSES = 500


class PointVortexConfig(Strict):
    """A vortex as equal point masses on a line through the centre."""

    n_masses: int = Field(gt=0, le=10_000)
    total_mass: float = Field(gt=0, description="solar masses")
    log10_mass_min: float = Field(ge=-30, le=-10, description="axion mass, log10 eV")
    log10_mass_max: float = Field(ge=-30, le=-10)
    half_length: float = Field(gt=0, le=100, description="arcsec at an axion mass of 1e-22 eV")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.log10_mass_min > self.log10_mass_max:
            raise ValueError("log10_mass_min must not be above log10_mass_max")
        return self


class PointVortex(PointMassDraw[PointVortexConfig]):
    """A vortex: equal point masses on a line through the centre, at a random angle.

    Its half-length is the de Broglie wavelength, inversely proportional to the axion mass.
    """

    section = PointVortexConfig
    columns = ("axion_mass", "log10_axion_mass", "vortex_angle", "vortex_half_length")

    def draw_one(
        self, section: PointVortexConfig, rng: np.random.Generator
    ) -> tuple[PointMasses, dict[str, float]]:
        n = section.n_masses
        log10_mass = rng.uniform(section.log10_mass_min, section.log10_mass_max)
        half_length = section.half_length * 10 ** (-22 - log10_mass)
        angle = rng.uniform(0, 2 * math.pi)
        along = np.linspace(-half_length, half_length, n)
        masses = np.full(n, section.total_mass / n)
        drawn = {
            "axion_mass": 10**log10_mass,
            "log10_axion_mass": log10_mass,
            "vortex_angle": angle % math.pi,  # a line has no direction
            "vortex_half_length": half_length,
        }
        return np.stack([masses, along * math.cos(angle), along * math.sin(angle)]), drawn


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
        return check_within(log10_mass, -26, -18)

    @field_validator("ring_distance")
    @classmethod
    def _in_the_image(cls, distance: AnyDistribution) -> AnyDistribution:
        return check_within(distance, 0, 3)


class Vortex(Draw[VortexConfig]):
    """A uniform line near the Einstein ring, as long as a de Broglie wave.

    Its mass is a share of the fraction ``substructure_fraction`` of the mass inside the Einstein
    radius; the rest of that fraction is too fine to differ from a smooth lens. About half of the
    line lies outside the ring. The wavelength is ``h / (m sigma_v)``, for the velocity dispersion
    of the lens; vortices as lines of a wavelength: Hui et al. 2021 (JCAP 01, 011). That the line
    has mass, where a vortex in a wave has none, is the convention of DeepLense.
    """

    section = VortexConfig
    profile = "UniformLine"
    columns = (*PointVortex.columns, "vortex_center_x", "vortex_center_y")

    def draw(
        self,
        section: VortexConfig,
        scale: LensPlane,
        params: Mapping[str, Array],
        rngs: list[np.random.Generator],
    ) -> Drawn:
        from simulate.substructure.lens_plane import de_broglie_wavelength

        u = np.stack([rng.random(4) for rng in rngs], axis=1)
        theta_E = params["theta_E"]
        log10_mass = section.log10_mass.quantile(u[0])
        speed = scale.velocity_dispersion(theta_E)
        wavelength = de_broglie_wavelength(10**log10_mass, speed)
        half_length = wavelength / scale.kpc_per_arcsec / 2
        distance, direction = theta_E * section.ring_distance.quantile(u[1]), 2 * math.pi * u[2]
        center_x = params["center_x"] + distance * np.cos(direction)
        center_y = params["center_y"] + distance * np.sin(direction)
        phi = math.pi * u[3]
        fraction = section.mass_share * params["substructure_fraction"]
        deflectors = {
            "theta_E": theta_E * np.sqrt(fraction),
            "half_length": half_length,
            "phi": phi,
            "center_x": center_x,
            "center_y": center_y,
        }
        labels = {
            "substructure_mass": fraction * math.pi * theta_E**2 * scale.sigma_critical,
            "n_substructure": np.ones(len(rngs)),
            "axion_mass": 10**log10_mass,
            "log10_axion_mass": log10_mass,
            "vortex_angle": phi,
            "vortex_half_length": half_length,
            "vortex_center_x": center_x,
            "vortex_center_y": center_y,
        }
        return Drawn({name: values[:, None] for name, values in deflectors.items()}, labels)

    def share_inside_ring(self, deflectors: dict[str, Array], params: Mapping[str, Array]) -> Array:
        # The deflection jumps across the line, so that its mean over the ring converges slowly.
        return line_inside_circle(**in_einstein_radii(self.profile, deflectors, params))

    def in_lenstronomy(self, params: dict[str, float]) -> Iterable[tuple[str, dict[str, float]]]:
        return point_masses_on_line(**params)


def line_inside_circle(
    theta_E: Array, half_length: Array, phi: Array, center_x: Array, center_y: Array
) -> Array:
    """Mass of lines (R, K) inside the unit circle, (R,): by the length of the chord."""
    along = center_x * np.cos(phi) + center_y * np.sin(phi)
    half_chord = np.sqrt((1 - center_x**2 - center_y**2 + along**2).clip(min=0))
    first = (-along - half_chord).clip(-half_length, half_length)
    last = (-along + half_chord).clip(-half_length, half_length)
    inside: Array = (theta_E**2 * (last - first) / (2 * half_length)).sum(1)
    return inside


def point_masses_on_line(
    theta_E: float, half_length: float, phi: float, center_x: float, center_y: float
) -> Iterable[tuple[str, dict[str, float]]]:
    """A uniform line as many point masses in the middle of equal pieces."""
    each = theta_E / math.sqrt(_LINE_MASSES)
    for k in range(_LINE_MASSES):
        along = half_length * ((2 * k + 1) / _LINE_MASSES - 1)
        x, y = center_x + along * math.cos(phi), center_y + along * math.sin(phi)
        yield "PointMass", {"theta_E": each, "center_x": x, "center_y": y}


def _imported_columns(mass: float) -> dict[str, float]:
    return {"axion_mass": mass, "log10_axion_mass": math.log10(mass)}


AXION = Substructure(
    "axion",
    draws={"published": PointVortex(), "physical": Vortex()},
    columns={
        "axion_mass": Meaning("eV", "mass of the axion (times c^-2)", "`axion`"),
        "log10_axion_mass": Meaning("log10 eV", "its logarithm", "`axion`"),
        "vortex_half_length": Meaning("arcsec", "half the length of the vortex line", "`axion`"),
        "vortex_angle": Meaning(
            "rad",
            "direction of the line, from x towards y, in [0, pi): a line has no sign",
            "`axion`",
        ),
        "vortex_center_x": Meaning(
            "arcsec", "middle of the line", "`axion`, `physical` and `realistic`"
        ),
        "vortex_center_y": Meaning(
            "arcsec", "middle of the line", "`axion`, `physical` and `realistic`"
        ),
    },
    remarks={
        "substructure_fraction": "`axion`: the line has `axion.mass_share` of it times the mass "
        "inside the ring",
        "n_substructure": "`axion`: point masses in `published`, else 1 line",
    },
    imported=_imported_columns,
)
