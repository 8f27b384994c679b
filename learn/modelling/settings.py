"""Settings of ``python cli.py model``; defaults live in ``configs/model/model.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from lensphys.ground.config import Strict

Mass = Literal["SIE", "EPL"]
LensLight = Literal["none", "sersic", "mge", "2xsersic", "3xsersic", "4xsersic"]
Source = Literal["sersic", "shapelets", "pixels", "2xsersic", "3xsersic", "4xsersic"]
#: Names of the deflectors, and of the kinds of light of lens and source.
MASSES: tuple[str, ...] = get_args(Mass)
LENS_LIGHTS: tuple[str, ...] = get_args(LensLight)
SOURCES: tuple[str, ...] = get_args(Source)

Part = Annotated[float, Field(ge=0, lt=1)]

#: Settings that change where and how a model is computed, not what is computed.
_NO_IDENTITY = frozenset({"out", "device"})


class ModelSettings(Strict):
    """Settings of how images are read, and of the model that is fitted to them."""

    out: Path | None = Field(description="folder; null: models")
    pixel_scale: float | None = Field(gt=0, description="arcsec, of files that do not state it")
    hdu: str | None = Field(
        min_length=1,
        coerce_numbers_to_str=True,
        description="name or number of the extension with the image",
    )
    field: float | None = Field(
        gt=0,
        description="arcsec, radius about the centre that is fitted; null: found from the image",
    )
    mass: Mass
    multipoles: tuple[Literal[1, 3, 4], ...] = Field(description="orders")
    lens_light: LensLight
    source: Source
    source_order: int | None = Field(
        ge=1,
        le=40,
        description="highest order of the shapelets; half the pixels a side of a grid; null: as "
        "many as the image needs",
    )
    sky: bool | Literal["smooth"] = Field(
        description="fit a constant background; smooth: cosines of low order over the field"
    )
    model_error: Part | tuple[Part, Part] = Field(
        description="this part of the model is added to the noise, in quadrature: of all of it, or "
        "of the lens light and of the lensed source"
    )
    priors: dict[str, tuple[float, float]] | None = Field(
        description="mean and standard deviation by parameter; null: those of the fit"
    )
    supersampling: int = Field(ge=1, le=16, description="rays along a side of a pixel")
    detect: Literal["none", "point_mass", "TNFW", "line"] = Field(description="profile of the maps")
    samples: int = Field(ge=0, description="draws from the posterior; 0: none")
    seed: int = Field(ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"]

    @model_validator(mode="after")
    def _has_priors_of_some_width(self) -> Self:
        for name, (_, deviation) in (self.priors or {}).items():
            if not deviation > 0:
                raise ValueError(f"the standard deviation of {name} must be above 0")
        return self

    @model_validator(mode="after")
    def _has_each_multipole_once(self) -> Self:
        if len(set(self.multipoles)) < len(self.multipoles):
            raise ValueError(f"multipoles must be given once each, got {list(self.multipoles)}")
        return self

    def identity(self) -> dict[str, Any]:
        """All settings that a model depends on."""
        return self.model_dump(mode="json", exclude=set(_NO_IDENTITY))

    def fit_options(self) -> dict[str, Any]:
        """The model, as arguments of :func:`lensphys.fit`."""
        return {
            "mass": self.mass,
            "multipoles": self.multipoles,
            "lens_light": None if self.lens_light == "none" else _list_profiles(self.lens_light),
            "source": _list_profiles(self.source),
            "source_order": self.source_order,
            "sky": self.sky,
            "model_error": self.model_error,
            "priors": self.priors,
            "supersampling": self.supersampling,
        }


def _list_profiles(kind: str) -> str | tuple[str, ...]:
    """Kind of light as a fit takes it: two Sersic profiles for ``2xsersic``."""
    count, _, name = kind.partition("x")
    return (name,) * int(count) if count.isdigit() else kind
