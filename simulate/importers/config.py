"""Options of ``python cli.py import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from lensphys.ground.config import Strict

Name = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^/\\]+$")]


class ImportConfig(Strict):
    """Options of an import; defaults live in ``configs/import/import.yaml``."""

    pixel_scale: float | None = Field(gt=0, description="arcsec")
    size: int | None = Field(gt=1, le=4096, description="pixels on a side to crop or pad to")
    unit: str | None = Field(min_length=1)
    exposure_time: float | None = Field(gt=0, description="total, s, of every image")
    model: int | None = Field(description="one of the models of the preset published")
    instrument: str | None = Field(description="preset with the PSF and noise of the images")
    label_names: tuple[Name, ...] | None = Field(
        min_length=1, description="class folders, in the order of their labels"
    )
    hdu: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        coerce_numbers_to_str=True, description="name or number of the extension of FITS files"
    )
    fill: Literal["median", "zero"] = Field(description="value of bad pixels and of padding")
    shard_size: int = Field(gt=0)
    out: Path | None = Field(description="folder; null: data/imported/<name of the source>")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model is not None and self.instrument is not None:
            raise ValueError("--model implies an instrument; give --model or --instrument")
        if self.label_names and len(set(self.label_names)) != len(self.label_names):
            raise ValueError("--label-names must name each class once")
        return self

    def identity(self) -> dict[str, Any]:
        """All that the data set depends on: the options without its place."""
        return self.model_dump(mode="json", exclude={"out"})
