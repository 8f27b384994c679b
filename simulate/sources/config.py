"""Configuration of real galaxies as sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from lensphys.ground.config import Strict


class GalaxyImagesConfig(Strict):
    """Galaxies of a file as sources: which are taken, and how they are cleaned."""

    path: Path | None = Field(
        description="HDF5 (`images`, `ans`), FITS, or folder of FITS; null: sources are smooth"
    )
    size: int = Field(ge=16, le=512, description="pixels on a side of a stamp")
    max_images: int | None = Field(
        gt=0, description="look at so many, evenly spaced through the file; null: at all"
    )
    rgb_weights: tuple[float, float, float] = Field(description="weights of the three colours")
    threshold: float = Field(gt=0, description="least S/N of a pixel that is detected")
    max_saturated: float = Field(ge=0, le=1, description="fraction of the pixels of a galaxy")
    min_half_light_radius: float = Field(ge=1, description="pixels of the image as it is given")

    @field_validator("rgb_weights")
    @classmethod
    def _sum_to_one(cls, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(weights) < 0 or not np.isclose(sum(weights), 1):
            raise ValueError("the weights must not be negative, and sum to 1")
        return weights

    def identity(self) -> dict[str, Any]:
        """All that the stamps depend on: the settings and the digest of the file, not its place.

        Raises:
            InputError: if there is no such file.
        """
        settings = self.model_dump(mode="json", exclude={"path"})
        if self.path is None:
            return settings
        from simulate.sources.files import digest  # astropy takes a second

        return settings | {"file": self.path.name, "sha256": digest(self.path)}
