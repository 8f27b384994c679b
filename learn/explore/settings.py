"""Settings of ``python cli.py explore``; defaults live in ``configs/explore/explore.yaml``."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lensphys.ground.config import Strict


class ExploreSettings(Strict):
    """Settings of the page of sliders."""

    size: int = Field(ge=16, le=128, description="pixels on a side, of a lens without an image")
    pixel_scale: float | None = Field(
        gt=0, description="arcsec; null: what the file states, and 0.08 without one"
    )
    hdu: str | None = Field(
        min_length=1,
        coerce_numbers_to_str=True,
        description="name or number of the extension with the image",
    )
    index: int = Field(ge=0, description="number of the image of a data set")
    z_lens: float = Field(gt=0)
    z_source: float = Field(gt=0)
    port: int = Field(ge=0, lt=2**16, description="0: any that is free")
    open_browser: bool
    seed: int = Field(ge=0, lt=2**32)

    @model_validator(mode="after")
    def _source_lies_behind(self) -> Self:
        if self.z_source <= self.z_lens:
            raise ValueError("z_source must be above z_lens")
        return self
