"""The preset ``published``: what the DeepLense data sets really contain, quirks included."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

import lensphys as lp
from lensphys.ground.config import Strict
from lensphys.ground.errors import InputError
from lensphys.lengths import LEAST, MOST
from lensphys.light import N_SERSIC
from simulate.config import (
    CosmologyConfig,
    EllipticalConfig,
    MultiPlaneConfig,
    Redshift,
    SimulateConfig,
)
from simulate.instruments import flux_of, half_field, instrument
from simulate.presets import Preset
from simulate.substructure.draw_classes import (
    columns_of_substructure,
    deflectors_of,
    draw_classes,
)

if TYPE_CHECKING:
    from lensphys.cosmology import Cosmology
    from simulate.scenes import Scene


class MassScaleConfig(Strict):
    """Cosmology and distances that turn a mass into an Einstein radius."""

    cosmology: CosmologyConfig
    distances: Literal["angular_diameter", "luminosity"]


class LensConfig(EllipticalConfig):
    """The main lens, the same in every image: an SIE with external shear."""

    mass: float = Field(gt=0, description="solar masses")
    gamma1: float = Field(gt=-0.7, lt=0.7)
    gamma2: float = Field(gt=-0.7, lt=0.7)
    z_lens: Redshift
    z_source: Redshift
    z_source_convention: Redshift | None = Field(
        description="source redshift the parameters are reduced to; null: that of the source"
    )
    cosmology: CosmologyConfig
    mass_scale: MassScaleConfig


class SourceConfig(EllipticalConfig):
    """The lensed galaxy: a Sersic profile at a random position."""

    amplitude: float | None = Field(gt=0, description="surface brightness at R_sersic, or null")
    magnitude: float | None = Field(ge=-50, le=50, description="AB magnitude, or null")
    R_sersic: float = Field(ge=LEAST, le=MOST)
    n_sersic: float = Field(ge=N_SERSIC[0], le=N_SERSIC[1])
    center_half_width: float = Field(ge=0, description="centre uniform in +- this, arcsec")


class PublishedConfig(SimulateConfig):
    """A data set as published."""

    drawn_as: ClassVar[str] = "published"

    lens: LensConfig
    source: SourceConfig

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
        from lensphys import cosmology
        from simulate.substructure.lens_plane import MassScale

        self.config = config
        self.instrument = instrument(config.instrument)
        lens, scale = config.lens, config.lens.mass_scale
        try:
            unit = cosmology.theta_E_of_mass(
                1.0,
                lens.z_lens,
                lens.z_source,
                _cosmology(scale.cosmology),
                distances=scale.distances,
            )
            self.scale = MassScale(float(unit))
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
        edge = half_field(self.instrument)
        if radius > edge:
            raise InputError(
                f"lens: the mass puts the ring {radius:.3g} arcsec from the middle, but the images "
                f"of {config.instrument} end at {edge:.3g}"
            )

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""
        import torch

        from simulate.scenes import SCENE, Scene, generator

        label = self.config.labels(start, stop)
        rngs = [generator(self.config, i, SCENE) for i in range(start, stop)]
        columns = {name: np.full(len(rngs), value) for name, value in self._constant.items()}
        only_some = columns_of_substructure(self.config)
        columns |= {name: np.full(len(rngs), np.nan) for name in only_some}
        drawn_lenses = [self._draw_lens(rng) for rng in rngs]
        for name in drawn_lenses[0]:
            columns[name] = np.array([lens[name] for lens in drawn_lenses])
        columns |= {name: np.zeros(len(rngs)) for name in ("substructure_mass", "n_substructure")}
        parts = []
        for rows, found in draw_classes(self.config, self.scale, label, columns, rngs):
            if found is not None:
                draw, drawn = found
                for name, values in drawn.labels.items():
                    columns[name][rows] = values
                parts.append(deflectors_of(draw, drawn, rows))
        params = {name: torch.from_numpy(values) for name, values in columns.items()}
        index = torch.arange(start, stop)
        return Scene(
            index, torch.from_numpy(label), params, self.main, tuple(parts), self.alpha_scale
        )

    def _draw_lens(self, rng: np.random.Generator) -> dict[str, float]:
        """Everything but the substructure that differs between images."""
        half = self.config.source.center_half_width
        row = {
            "source_center_x": rng.uniform(-half, half),
            "source_center_y": rng.uniform(-half, half),
        }
        if self.config.exposure_log10 is not None:
            row["exposure_time"] = 10 ** rng.uniform(*self.config.exposure_log10)
        return row

    def _constant_params(self, camera: lp.Instrument) -> dict[str, float]:
        lens, source = self.config.lens, self.config.source
        if (source.amplitude is None) == (source.magnitude is None):
            raise InputError("source: give either amplitude or magnitude, and null for the other")
        amplitude = source.amplitude
        if amplitude is None:
            assert source.magnitude is not None
            unit_flux = lp.sersic_total_flux(1.0, source.R_sersic, source.n_sersic)
            amplitude = float(flux_of(camera, source.magnitude)) / unit_flux
        return {
            "theta_E": float(self.scale.theta_E(lens.mass)),
            "theta_E_main": float(self.scale.theta_E(lens.mass)),
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
        }


def _cosmology(config: CosmologyConfig) -> Cosmology:
    from lensphys.cosmology import FlatDistances, flat_lambda_cdm

    if config.Om0 < 1:
        return FlatDistances(config.H0, config.Om0)
    return flat_lambda_cdm(config.H0, config.Om0, config.Ob0)


PUBLISHED = Preset(PublishedConfig, PublishedPrior)
