"""The preset ``physical``: the class is carried by the lensing of the substructure alone."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

import lensphys as lp
from lensphys.ground.config import Strict, suggestion
from lensphys.ground.errors import InputError
from lensphys.lengths import LEAST, MOST
from lensphys.light import N_SERSIC
from simulate.config import Redshift, SimulateConfig
from simulate.distributions import AnyDistribution, check_within
from simulate.instruments import flux_of, half_field, instrument
from simulate.presets import Preset
from simulate.substructure.draw_classes import (
    columns_of_substructure,
    deflectors_of,
    draw_classes,
)

if TYPE_CHECKING:
    from astropy.cosmology import FLRW

    from simulate.scenes import Scene

Array = NDArray[np.float64]

#: Random numbers of an image beside those of its substructure.
_MACRO_DRAWS = 17
#: Columns that are zero without substructure.
_NONE_WITHOUT = ("substructure_mass", "substructure_fraction_ring", "n_substructure")


class EllipticityPrior(Strict):
    """Two components, each drawn from the same distribution."""

    e: AnyDistribution = Field(description="distribution of e1 and of e2")

    @field_validator("e")
    @classmethod
    def _describes_an_ellipse(cls, e: AnyDistribution) -> AnyDistribution:
        return check_within(e, -0.7, 0.7)


class LensPrior(EllipticityPrior):
    """The main lens: an elliptical power law with external shear."""

    z_lens: Redshift
    z_source: Redshift
    theta_E: AnyDistribution = Field(description="arcsec, of all mass, substructure included")
    gamma: AnyDistribution = Field(description="slope of the density; 2 is isothermal")
    center: AnyDistribution = Field(description="arcsec, of each coordinate")
    shear: AnyDistribution = Field(description="distribution of gamma1 and of gamma2")

    @field_validator("theta_E")
    @classmethod
    def _positive(cls, theta_E: AnyDistribution) -> AnyDistribution:
        return check_within(theta_E, 1e-3, math.inf)

    @field_validator("gamma")
    @classmethod
    def _between_sheet_and_point(cls, gamma: AnyDistribution) -> AnyDistribution:
        return check_within(gamma, 1.1, 2.9)

    @field_validator("shear")
    @classmethod
    def _weak(cls, shear: AnyDistribution) -> AnyDistribution:
        return check_within(shear, -0.6, 0.6)


class SourcePrior(EllipticityPrior):
    """The lensed galaxy: a Sersic profile."""

    magnitude: AnyDistribution | None = Field(description="AB, unlensed; or null")
    flux: AnyDistribution | None = Field(description="e-/s, unlensed; or null")
    R_sersic: AnyDistribution = Field(description="arcsec")
    n_sersic: AnyDistribution
    offset: float = Field(ge=0, le=2, description="uniform in a disc of so many Einstein radii")

    @field_validator("flux")
    @classmethod
    def _positive(cls, flux: AnyDistribution | None) -> AnyDistribution | None:
        return check_within(flux, 1e-9, 1e30) if flux else None

    @field_validator("R_sersic")
    @classmethod
    def _on_the_sky(cls, R_sersic: AnyDistribution) -> AnyDistribution:
        return check_within(R_sersic, LEAST, MOST)

    @field_validator("magnitude")
    @classmethod
    def _of_this_universe(cls, magnitude: AnyDistribution | None) -> AnyDistribution | None:
        return check_within(magnitude, -50, 50) if magnitude else None

    @field_validator("n_sersic")
    @classmethod
    def _in_range(cls, n_sersic: AnyDistribution) -> AnyDistribution:
        return check_within(n_sersic, *N_SERSIC)


class PhysicalConfig(SimulateConfig):
    """A data set whose classes differ by the lensing of their substructure alone."""

    drawn_as: ClassVar[str] = "physical"
    observations: ClassVar[tuple[str, ...]] = ("detector", "noise_free")

    cosmology: str = Field(description="a name of astropy's")
    lens: LensPrior
    source: SourcePrior
    substructure_fraction: AnyDistribution = Field(
        description="fraction of the mass; one for all classes"
    )

    @field_validator("substructure_fraction")
    @classmethod
    def _a_fraction(cls, fraction: AnyDistribution) -> AnyDistribution:
        return check_within(fraction, 0, 1)

    @field_validator("cosmology")
    @classmethod
    def _known_cosmology(cls, name: str) -> str:
        known = _known_cosmologies()
        if name not in known:
            raise ValueError(f"unknown cosmology '{name}'{suggestion(name, known)}")
        return name


def _known_cosmologies() -> list[str]:
    """Names of astropy's cosmologies, by their files: to import them takes two seconds."""
    package = importlib.util.find_spec("astropy")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / "cosmology" / "data"
    return [path.stem for path in folder.glob("*.ecsv")]


class PhysicalPrior:
    """Draws the scenes of the preset ``physical``.

    The mass of the substructure inside the Einstein ring is taken from the main lens, so that the
    mass there is that of ``theta_E`` in every class.

    Raises:
        InputError: on creation, for a configuration that describes no lens.
    """

    main = "EPL"
    alpha_scale = 1.0
    twins = True

    def __init__(self, config: PhysicalConfig) -> None:
        from simulate.substructure.lens_plane import LensPlane

        self.config = config
        self._camera = instrument(config.instrument)
        if (config.source.magnitude is None) == (config.source.flux is None):
            raise InputError("source: give either magnitude or flux, and null for the other")
        if config.source.magnitude is not None:
            flux_of(self._camera, 0.0)
        try:
            self._plane = LensPlane(
                config.lens.z_lens, config.lens.z_source, _cosmology(config.cosmology)
            )
        except ValueError as error:
            raise InputError(f"lens: {error}") from None
        self._check_lengths()

    def _check_lengths(self) -> None:
        """Refuse rings that leave the image, and substructure that does not go with the lenses."""
        center = self.config.lens.center
        reach = self.config.lens.theta_E.high + max(abs(center.low), abs(center.high))
        edge = half_field(self._camera)
        if reach > edge:
            raise InputError(
                f"lens: theta_E and center put rings up to {reach:.3g} arcsec from the middle, but "
                f"the images of {self.config.instrument} end at {edge:.3g}"
            )
        for name in self.config.classes:
            draw = self.config.draw_of(name)
            if draw is not None:
                largest = self.config.lens.theta_E.high
                draw.check(getattr(self.config, name), self._plane, largest)

    def draw(self, start: int, stop: int) -> Scene:
        """The scenes of images ``start`` to ``stop - 1``."""
        import torch

        from simulate.scenes import SCENE, Scene, generator

        index = np.arange(start, stop)
        label = self.config.labels(start, stop)
        rngs = [generator(self.config, i, SCENE) for i in range(start, stop)]
        params = self._macro_model(rngs)
        params["theta_E_main"] = params["theta_E"].copy()
        params |= {name: np.zeros(len(rngs)) for name in _NONE_WITHOUT}
        only_some = columns_of_substructure(self.config)
        params |= {name: np.full(len(rngs), np.nan) for name in only_some}
        parts = []
        for rows, found in draw_classes(self.config, self._plane, label, params, rngs):
            if found is None:
                params["substructure_fraction"][rows] = 0.0
                continue
            draw, drawn = found
            of_rows = {name: values[rows] for name, values in params.items()}
            for name, values in drawn.labels.items():
                params[name][rows] = values
            share = draw.share_inside_ring(drawn.deflectors, of_rows)
            params["substructure_fraction_ring"][rows] = share
            params["theta_E_main"][rows] = compensated_theta_E(share, of_rows)
            parts.append(deflectors_of(draw, drawn, rows))
        columns = {name: torch.from_numpy(values) for name, values in params.items()}
        return Scene(
            torch.from_numpy(index), torch.from_numpy(label), columns, self.main, tuple(parts)
        )

    def _macro_model(self, rngs: list[np.random.Generator]) -> dict[str, Array]:
        """All but the substructure, (B,) each; the same random numbers whatever the class."""
        import torch

        lens, source = self.config.lens, self.config.source
        u = iter(np.stack([rng.random(_MACRO_DRAWS) for rng in rngs], axis=1))
        theta_E = lens.theta_E.quantile(next(u))
        center_x, center_y = lens.center.quantile(next(u)), lens.center.quantile(next(u))
        radius, angle = source.offset * theta_E * np.sqrt(next(u)), 2 * math.pi * next(u)
        params = {
            "theta_E": theta_E,
            "gamma": lens.gamma.quantile(next(u)),
            "e1": lens.e.quantile(next(u)),
            "e2": lens.e.quantile(next(u)),
            "center_x": center_x,
            "center_y": center_y,
            "gamma1": lens.shear.quantile(next(u)),
            "gamma2": lens.shear.quantile(next(u)),
            "source_R_sersic": source.R_sersic.quantile(next(u)),
            "source_n_sersic": source.n_sersic.quantile(next(u)),
            "source_e1": source.e.quantile(next(u)),
            "source_e2": source.e.quantile(next(u)),
            "source_center_x": center_x + radius * np.cos(angle),
            "source_center_y": center_y + radius * np.sin(angle),
        }
        if source.magnitude is not None:
            params["source_magnitude"] = source.magnitude.quantile(next(u))
            flux = np.asarray(self._camera.flux(torch.from_numpy(params["source_magnitude"])))
        else:
            assert source.flux is not None
            flux = source.flux.quantile(next(u))
        params["source_flux"] = flux
        R, n = (torch.from_numpy(params[f"source_{name}"]) for name in ("R_sersic", "n_sersic"))
        params["source_amplitude"] = flux / np.asarray(
            lp.sersic_total_flux(torch.ones_like(R), R, n)
        )
        params["exposure_time"] = self._exposure(next(u))
        params["substructure_fraction"] = self.config.substructure_fraction.quantile(next(u))
        return params

    def _exposure(self, u: Array) -> Array:
        if self.config.exposure_log10 is None:
            return np.full(u.shape, self._camera.total_exposure or np.nan)
        low, high = self.config.exposure_log10
        return np.asarray(10 ** (low + (high - low) * u))


def compensated_theta_E(share: Array, params: dict[str, Array]) -> Array:
    """Einstein radius of what is left to the main lens, arcsec, (R,).

    Args:
        share: (R,) of the mass inside the Einstein ring that is substructure.
        params: of the whole lens.

    Raises:
        InputError: if the substructure is heavier than the whole lens.
    """
    if share.max() >= 1:
        raise InputError(
            f"the substructure has {share.max():.3g} times the mass of the lens; lower "
            "substructure_fraction, or the masses in the section of the class"
        )
    left: Array = params["theta_E"] * (1 - share) ** (1 / (params["gamma"] - 1))
    return left


def _cosmology(name: str) -> FLRW:
    import astropy.cosmology

    found: FLRW = getattr(astropy.cosmology, name)
    return found


PHYSICAL = Preset(PhysicalConfig, PhysicalPrior)
