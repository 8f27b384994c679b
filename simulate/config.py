"""Configuration that data sets of every preset share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from lensphys.ground.config import Strict, load_config, shipped_config, suggestion
from simulate.light.lens_light import LensLightConfig
from simulate.light.look_alikes import NonLensConfig
from simulate.sources.config import GalaxyImagesConfig
from simulate.substructure import known_classes, substructure

if TYPE_CHECKING:
    from simulate.light.envelope import EnvelopeConfig
    from simulate.substructure.base import Draw

#: Also the way to read a configuration, for those who look for it beside its schema.
__all__ = [
    "NON_LENS",
    "CosmologyConfig",
    "EllipticalConfig",
    "MultiPlaneConfig",
    "SimulateConfig",
    "load_config",
    "shipped_config",
]

#: Version of the light in the image plane, in the identity of data sets that have any: 2 since it
#: is integrated over the pixels. With one ray, steep centres had up to 4.6 times their light.
LIGHT_VERSION = 2

#: Orders of multipoles that a main lens may have; each has two amplitudes.
MULTIPOLES = (3, 4)

#: Label of images without a lens.
NON_LENS = "non_lens"


#: Of a lens or a source. Beyond these limits the distances of a cosmology lose their digits.
Redshift = Annotated[float, Field(ge=1e-4, le=1000)]


class EllipticalConfig(Strict):
    """The ellipticity of a lens or a source."""

    e1: float
    e2: float

    @model_validator(mode="after")
    def _describes_an_ellipse(self) -> Self:
        if math.hypot(self.e1, self.e2) > math.sqrt(0.9999):
            raise ValueError("e1^2 + e2^2 must be below 1")
        return self


class CosmologyConfig(Strict):
    """A flat cosmology without radiation."""

    H0: float = Field(ge=1, le=1000)
    Om0: float = Field(ge=1e-3, le=1)
    Ob0: float = Field(ge=0, le=1)


class MultiPlaneConfig(Strict):
    """Redshifts where deflections are reduced to another source than the true one."""

    z_lens: Redshift
    z_source: Redshift
    z_source_convention: Redshift
    cosmology: CosmologyConfig


class SimulateConfig(Strict):
    """Keys of every data set; each preset adds its own, and a section for each class.

    The section of a class bears its name. The schema with the sections of some classes is made by
    :func:`simulate.presets.schema_with`.
    """

    #: The preset whose way of drawing substructure the classes take.
    drawn_as: ClassVar[str]
    #: Observations that go with the preset.
    observations: ClassVar[tuple[str, ...]] = ("counts", "doubled", "noise_free", "detector")
    #: True where lenses shine without being asked to.
    always_shines: ClassVar[bool] = False

    model: int
    preset: str
    n: int = Field(gt=0, lt=2**53)
    seed: int = Field(ge=0, lt=2**63)
    classes: tuple[str, ...]
    backend: Literal["torch", "lenstronomy"]
    instrument: str
    observation: Literal["counts", "doubled", "noise_free", "detector", "drizzled"]
    exposure_log10: tuple[float, float] | None = Field(
        description="log10 of the exposure time, uniform between the two; null: the instrument's"
    )
    supersampling: int = Field(gt=0, le=16, description="rays along a side of a pixel")
    pairs: int | None = Field(gt=1, description="also images with pixels this much coarser")
    lens_light: LensLightConfig
    non_lens: NonLensConfig
    galaxies: GalaxyImagesConfig
    device: Literal["auto", "cpu", "cuda"]
    workers: int | None = Field(gt=0, lt=2**31, description="processes; null: one a core")
    scheduler: str | None = Field(description="address of a Dask scheduler; null: this machine")
    shard_size: int = Field(gt=0, lt=2**31)
    out: Path | None = Field(description="folder; null: data/model<model>")

    @field_validator("classes")
    @classmethod
    def _known_classes(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for name in classes:
            if name not in known_classes():
                raise ValueError(f"unknown class '{name}'{suggestion(name, known_classes())}")
        if not classes or len(set(classes)) != len(classes):
            raise ValueError("classes must name each class once, and at least one")
        return classes

    @field_validator("observation")
    @classmethod
    def _of_the_preset(cls, observation: str) -> str:
        if observation not in cls.observations:
            known = ", ".join(cls.observations)
            raise ValueError(f"'{observation}' does not go with this preset, which has {known}")
        return observation

    @field_validator("exposure_log10")
    @classmethod
    def _in_order(cls, limits: tuple[float, float] | None) -> tuple[float, float] | None:
        if limits and limits[0] > limits[1]:
            raise ValueError("the first must not be above the second")
        if limits and not (limits[0] >= -2 and limits[1] <= 8):
            raise ValueError("exposures lie between 1e-2 and 1e8 seconds: numbers from -2 to 8")
        return limits

    @property
    def label_names(self) -> list[str]:
        """The classes of lenses, and last the non-lenses where there are any."""
        return [*self.classes, *([NON_LENS] if self.non_lens.fraction else [])]

    @property
    def shines(self) -> bool:
        """True where lenses show their light, without which they differ from non-lenses."""
        return self.lens_light.enabled or self.non_lens.fraction > 0

    def labels(self, start: int, stop: int) -> NDArray[np.int64]:
        """Labels of images ``start`` to ``stop - 1``: classes take turns, non-lenses in between."""
        # One more non-lens wherever the number due passes an integer; 1e-9 is above its rounding.
        due = np.floor(self.non_lens.fraction * np.arange(start, stop + 1) + 1e-9).astype(np.int64)
        lens_number = np.arange(start, stop) - due[:-1]
        of_lens = lens_number % len(self.classes)
        return np.where(np.diff(due) > 0, len(self.classes), of_lens)

    @classmethod
    def class_sections(cls) -> tuple[str, ...]:
        """Names of the classes that have a section."""
        return tuple(name for name in cls.model_fields if name in known_classes())

    def draw_of(self, name: str) -> Draw[Any] | None:
        """The way in which a class is drawn; None where it is smooth.

        Raises:
            InputError: for a class that this preset does not have.
        """
        return substructure(name).drawn_in(self.drawn_as)

    def planes(self) -> MultiPlaneConfig | None:
        """The redshifts of a lens that is traced through several planes, or None."""
        return None

    def ray_tolerance(self) -> float | None:
        """Error of a pixel, in units of its noise, from which on it takes more rays.

        None: all pixels take the same number.
        """
        return None

    def widest_psf(self) -> float:
        """Greatest width that the PSF of an image may have, over that of the instrument."""
        return 1.0

    def envelope_of_lens(self) -> EnvelopeConfig | None:
        """The disc about the bulge of a lens galaxy, or None."""
        return None

    def observing(self) -> dict[str, Any]:
        """Settings of the observation beside its name."""
        return {}

    def identity(self) -> dict[str, Any]:
        """All that the images depend on: the configuration without place and pace."""
        values = self.model_dump(mode="json", exclude={"out", "workers", "scheduler"})
        values["galaxies"] = self.galaxies.identity()
        if self.shines:
            values["light_version"] = LIGHT_VERSION
        return values

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by the names of its sections: the schema made for them stands in no module.
        return _without_values, (self.preset, self.class_sections()), self.__getstate__()


def _without_values(preset: str, sections: tuple[str, ...]) -> SimulateConfig:
    from simulate.presets import schema_with

    schema = schema_with(preset, sections)
    return schema.__new__(schema)
