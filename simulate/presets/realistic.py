"""The preset ``realistic``: that of ``physical`` with what makes the lenses of the sky hard."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from lensphys.ground.config import Strict
from simulate.config import MULTIPOLES
from simulate.distributions import AnyDistribution, check_within
from simulate.light import neighbours
from simulate.light.envelope import EnvelopeConfig
from simulate.light.lens_light import LensLightConfig
from simulate.light.neighbours import NeighbourConfig, draw_neighbours
from simulate.presets import Preset
from simulate.presets.physical import PhysicalConfig, PhysicalPrior, SourcePrior
from simulate.sources import structured
from simulate.sources.structured import StructureConfig, disc_amplitude, draw_structures

if TYPE_CHECKING:
    from simulate.scenes import Deflectors, Scene

Array = structured.Array

#: Random numbers of the multipoles and of the PSF of an image.
_OF_MULTIPOLES, _OF_PSF = 2 * len(MULTIPOLES), 3


class MultipoleConfig(Strict):
    """Multipoles of the main lens: kappa = (a_cos cos(m phi) + a_sin sin(m phi)) / (2 r)."""

    a3: AnyDistribution = Field(description="of a_cos and a_sin of order 3, in Einstein radii")
    a4: AnyDistribution = Field(description="of a_cos and a_sin of order 4, in Einstein radii")

    @field_validator("a3", "a4")
    @classmethod
    def _small(cls, amplitude: AnyDistribution) -> AnyDistribution:
        return check_within(amplitude, -0.1, 0.1)


class TruePSFConfig(Strict):
    """The PSF of an image relative to that of the instrument, the only one that fits know."""

    width: AnyDistribution = Field(description="over that of the instrument")
    e: AnyDistribution = Field(description="distribution of e1 and of e2")

    @field_validator("width")
    @classmethod
    def _about_one(cls, width: AnyDistribution) -> AnyDistribution:
        return check_within(width, 0.5, 2.0)

    @field_validator("e")
    @classmethod
    def _nearly_round(cls, e: AnyDistribution) -> AnyDistribution:
        return check_within(e, -0.3, 0.3)


class StructuredSourcePrior(SourcePrior):
    """The lensed galaxy: a disc with a bulge, spiral arms and clumps."""

    structure: StructureConfig


class RealisticConfig(PhysicalConfig):
    """A data set as the sky shows it; the classes differ as in ``physical``."""

    observations: ClassVar[tuple[str, ...]] = ("detector", "drizzled", "noise_free")
    always_shines: ClassVar[bool] = True

    ray_tolerance_sigma: float = Field(
        gt=0, le=10, description="error of a pixel, in its noise, from which it takes more rays"
    )
    drizzle_drop: float = Field(
        gt=0, le=3, description="side of a drop over that of a pixel, for observation drizzled"
    )
    source: StructuredSourcePrior
    multipoles: MultipoleConfig
    psf: TruePSFConfig
    lens_envelope: EnvelopeConfig
    neighbours: NeighbourConfig

    @field_validator("lens_light")
    @classmethod
    def _shines(cls, light: LensLightConfig) -> LensLightConfig:
        if not light.enabled:
            raise ValueError(
                "lenses of the preset realistic shine: leave enabled at true, or take the preset "
                "physical"
            )
        return light

    def ray_tolerance(self) -> float | None:
        return self.ray_tolerance_sigma

    def widest_psf(self) -> float:
        return self.psf.width.high

    def envelope_of_lens(self) -> EnvelopeConfig | None:
        return self.lens_envelope

    def observing(self) -> dict[str, Any]:
        return {"drop": self.drizzle_drop} if self.observation == "drizzled" else {}


class RealisticPrior(PhysicalPrior):
    """Draws the scenes of the preset ``realistic``.

    Lens, substructure and the smooth part of the source of image k are those of ``physical`` with
    the same priors and seed. Neighbours, which stay in twins, are no part of ``theta_E``.

    Raises:
        InputError: on creation, for a configuration that describes no lens.
    """

    config: RealisticConfig

    def __init__(self, config: RealisticConfig) -> None:
        super().__init__(config)
        config.lens_light.brightness.flux_at_one_arcsec(self._camera)

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""
        import torch

        from simulate.scenes import MORE, generator

        scene = super().draw(start, stop)
        counts = (_OF_MULTIPOLES, _OF_PSF, neighbours.DRAWS, structured.DRAWS)
        rngs = [generator(self.config, i, MORE) for i in range(start, stop)]
        u = np.stack([rng.random(sum(counts)) for rng in rngs], axis=1)
        of_mass, of_psf, of_neighbour, of_source = np.split(u, np.cumsum(counts)[:-1])
        known = {name: values.numpy() for name, values in scene.params.items()}
        beside = draw_neighbours(
            self.config.neighbours,
            self.config.lens_light.brightness,
            self._camera,
            known,
            of_neighbour,
        )
        columns = self._multipoles(known["theta_E"], of_mass) | self._psf(of_psf) | beside
        structures = draw_structures(self.config.source.structure, of_source)
        params = {name: torch.from_numpy(values) for name, values in columns.items()}
        params |= structures.labels
        # Of the disc alone, since bulge and clumps have profiles of their own.
        smooth = 1 - params["source_bulge_share"] - params["source_clump_share"]
        flux, R, n = (scene.params[f"source_{name}"] for name in ("flux", "R_sersic", "n_sersic"))
        amplitude = smooth * flux / R**2 * disc_amplitude(n)
        return dataclasses.replace(
            scene,
            params=scene.params | params | {"source_amplitude": amplitude},
            structures=structures,
            companions=_companions(beside),
        )

    def _multipoles(self, theta_E: Array, u: Array) -> dict[str, Array]:
        columns = {}
        for k, m in enumerate(MULTIPOLES):
            prior = getattr(self.config.multipoles, f"a{m}")
            columns[f"a{m}_cos"] = theta_E * prior.quantile(u[2 * k])
            columns[f"a{m}_sin"] = theta_E * prior.quantile(u[2 * k + 1])
        return columns

    def _psf(self, u: Array) -> dict[str, Array]:
        psf = self.config.psf
        return {
            "psf_width": psf.width.quantile(u[0]),
            "psf_e1": psf.e.quantile(u[1]),
            "psf_e2": psf.e.quantile(u[2]),
        }


def _companions(columns: dict[str, Array]) -> tuple[Deflectors, ...]:
    """The mass of the neighbours: isothermal spheres."""
    import torch

    from simulate.scenes import Deflectors

    rows = np.flatnonzero(~np.isnan(columns["neighbour_theta_E"]))
    if not len(rows):
        return ()
    names = ("theta_E", "center_x", "center_y")
    params = {name: torch.from_numpy(columns[f"neighbour_{name}"][rows, None]) for name in names}
    return (Deflectors("SIS", torch.from_numpy(rows), params),)


REALISTIC = Preset(RealisticConfig, RealisticPrior)
