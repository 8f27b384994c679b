"""The preset ``published``: what the DeepLense data sets really contain, quirks included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

import lensphys as lp
from lensphys import cosmology
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from simulate.config import CosmologyConfig, EllipticalConfig, MultiPlaneConfig, SimulateConfig
from simulate.instruments import Instrument, instrument
from simulate.scenes import SCENE, Deflectors, Scene, generator
from simulate.substructure import point_masses

if TYPE_CHECKING:
    from astropy.cosmology import FLRW


class MassScaleConfig(Strict):
    """How a mass becomes an Einstein radius."""

    cosmology: CosmologyConfig
    distances: Literal["angular_diameter", "luminosity"]


class LensConfig(EllipticalConfig):
    """The main lens, the same in every image: an SIE with external shear."""

    mass: float = Field(gt=0, description="solar masses")
    gamma1: float = Field(gt=-0.7, lt=0.7)
    gamma2: float = Field(gt=-0.7, lt=0.7)
    z_lens: float = Field(gt=0)
    z_source: float = Field(gt=0)
    z_source_convention: float | None = Field(
        description="source redshift the parameters are reduced to; null: that of the source"
    )
    cosmology: CosmologyConfig
    mass_scale: MassScaleConfig


class SourceConfig(EllipticalConfig):
    """The lensed galaxy: a Sersic profile at a random position."""

    amplitude: float | None = Field(gt=0, description="surface brightness at R_sersic, or null")
    magnitude: float | None = Field(ge=-50, le=50, description="AB magnitude, or null")
    R_sersic: float = Field(gt=0)
    n_sersic: float = Field(ge=0.3, le=10)
    center_half_width: float = Field(ge=0, description="centre uniform in +- this, arcsec")


class CDMConfig(Strict):
    """Subhaloes as point masses."""

    n_subhalos: int = Field(gt=0)
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


class AxionConfig(Strict):
    """A vortex as equal point masses on a line through the centre."""

    n_masses: int = Field(gt=0)
    total_mass: float = Field(gt=0, description="solar masses")
    log10_mass_min: float = Field(ge=-30, le=-10, description="axion mass, log10 eV")
    log10_mass_max: float = Field(ge=-30, le=-10)
    half_length: float = Field(gt=0, le=100, description="arcsec at an axion mass of 1e-22 eV")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.log10_mass_min > self.log10_mass_max:
            raise ValueError("log10_mass_min must not be above log10_mass_max")
        return self


class PublishedConfig(SimulateConfig):
    """A data set as published."""

    lens: LensConfig
    source: SourceConfig
    cdm: CDMConfig
    axion: AxionConfig

    def planes(self) -> MultiPlaneConfig | None:
        lens = self.lens
        if lens.z_source_convention is None:
            return None
        return MultiPlaneConfig(
            z_lens=lens.z_lens,
            z_source=lens.z_source,
            z_source_convention=lens.z_source_convention,
            cosmology=lens.cosmology,
        )


class PublishedPrior:
    """Draws the scenes of the published data sets: one main lens, sources that differ in place.

    Raises:
        InputError: on creation, for a configuration that describes no lens.
    """

    main = "SIE"
    twins = False  # the published substructure adds to the mass of the main lens

    def __init__(self, config: PublishedConfig) -> None:
        self.config = config
        self.instrument = instrument(config.instrument)
        lens, scale = config.lens, config.lens.mass_scale
        try:
            self._theta_E_unit = cosmology.theta_E_of_mass(
                1.0,
                lens.z_lens,
                lens.z_source,
                _cosmology(scale.cosmology),
                distances=scale.distances,
            )
            self.alpha_scale = (
                1.0
                if lens.z_source_convention is None
                else float(
                    cosmology.alpha_scale(
                        lens.z_lens,
                        lens.z_source,
                        lens.z_source_convention,
                        _cosmology(lens.cosmology),
                    )
                )
            )
        except ValueError as error:
            raise InputError(f"lens: {error}") from None
        self._constant = self._constant_params(self.instrument)
        radius = self.alpha_scale * self._constant["theta_E"]
        if radius > self.instrument.half_field:
            raise InputError(
                f"lens: the mass puts the ring {radius:.3g} arcsec from the middle, but the images "
                f"of {config.instrument} end at {self.instrument.half_field:.3g}"
            )

    def theta_E(self, mass: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Einstein radius of a point mass in solar masses, arcsec."""
        return np.asarray(self._theta_E_unit * np.sqrt(mass))

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""
        labels = self.config.labels(start, stop)
        drawn = [self._draw_one(start + i, name) for i, name in enumerate(self._classes(labels))]
        params = {
            name: torch.full((len(drawn),), value, dtype=torch.float64)
            for name, value in self._constant.items()
        }
        for name in dict.fromkeys(name for row, _ in drawn for name in row):
            values = [row.get(name, np.nan) for row, _ in drawn]
            params[name] = torch.tensor(values, dtype=torch.float64)
        for name, of_masses in (("substructure_mass", np.sum), ("n_substructure", np.size)):
            values = [float(of_masses(masses[0])) for _, masses in drawn]
            params[name] = torch.tensor(values, dtype=torch.float64)
        index = torch.arange(start, stop)
        label = torch.from_numpy(labels)
        substructure = tuple(self._deflectors([masses for _, masses in drawn]))
        return Scene(index, label, params, self.main, substructure, self.alpha_scale)

    def _deflectors(self, masses: list[point_masses.PointMasses]) -> Iterator[Deflectors]:
        """Images with as many point masses each go together."""
        for count in sorted({m.shape[1] for m in masses} - {0}):
            rows = [i for i, m in enumerate(masses) if m.shape[1] == count]
            mass, x, y = np.stack([masses[i] for i in rows], axis=1)
            columns = {"theta_E": self.theta_E(mass), "center_x": x, "center_y": y}
            params = {name: torch.from_numpy(values) for name, values in columns.items()}
            yield Deflectors("PointMass", torch.tensor(rows), params)

    def _classes(self, labels: NDArray[np.int64]) -> list[str]:
        """The class of each image; a non-lens has no substructure."""
        names = (*self.config.classes, "no_sub")
        return [names[label] for label in labels]

    def _draw_one(self, index: int, name: str) -> tuple[dict[str, float], point_masses.PointMasses]:
        config = self.config
        rng = generator(config, index, SCENE)
        half = config.source.center_half_width
        row = {
            "source_center_x": rng.uniform(-half, half),
            "source_center_y": rng.uniform(-half, half),
        }
        if config.exposure_log10 is not None:
            row["exposure_time"] = 10 ** rng.uniform(*config.exposure_log10)
        masses, of_class = point_masses.DRAWS[name](config, rng)
        return row | of_class, masses

    def _constant_params(self, camera: Instrument) -> dict[str, float]:
        lens, source = self.config.lens, self.config.source
        if (source.amplitude is None) == (source.magnitude is None):
            raise InputError("source: give either amplitude or magnitude, and null for the other")
        amplitude = source.amplitude
        if amplitude is None:
            assert source.magnitude is not None
            unit_flux = lp.sersic_total_flux(1.0, source.R_sersic, source.n_sersic)
            amplitude = float(camera.flux(source.magnitude)) / unit_flux
        return {
            "theta_E": float(self.theta_E(lens.mass)),
            "theta_E_main": float(self.theta_E(lens.mass)),
            "e1": lens.e1,
            "e2": lens.e2,
            "center_x": 0.0,
            "center_y": 0.0,
            "gamma1": lens.gamma1,
            "gamma2": lens.gamma2,
            "source_amplitude": amplitude,
            "source_flux": lp.sersic_total_flux(amplitude, source.R_sersic, source.n_sersic),
            "source_R_sersic": source.R_sersic,
            "source_n_sersic": source.n_sersic,
            "source_e1": source.e1,
            "source_e2": source.e2,
            "exposure_time": camera.total_exposure or np.nan,
            # Columns that only the class "axion" fills.
            "axion_mass": np.nan,
            "log10_axion_mass": np.nan,
            "vortex_angle": np.nan,
            "vortex_half_length": np.nan,
        }


def _cosmology(config: CosmologyConfig) -> FLRW:
    return cosmology.flat_lambda_cdm(config.H0, config.Om0, config.Ob0)
