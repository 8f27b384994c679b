"""The kind of lens and source that is fitted to the images of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from learn.config import LensFitConfig


@dataclasses.dataclass(frozen=True)
class FitModel:
    """Kind of model of an image.

    Args:
        lens_light: the lens shines.
        shapelets: the source is an expansion in shapelets and the light of the lens one in
            Gaussians, with amplitudes that are solved for; otherwise both are Sersic profiles.
    """

    lens_light: bool
    shapelets: bool

    @classmethod
    def of(cls, data: Mapping[str, Any], config: LensFitConfig) -> Self:
        """The model for a data set with this configuration.

        Sources with structure of their own, and lenses of bulge and disc, are expanded.

        Args:
            data: configuration of the data set; of one that is not simulated, nothing is known.
            config: of the fit.
        """
        # An import has a key "source" too: the name of its folder.
        data = {} if data.get("command") == "import" else data
        light = bool(data.get("lens_light", {}).get("enabled", False))
        light = light or data.get("non_lens", {}).get("fraction", 0) > 0
        structured = bool(
            data.get("source", {}).get("structure") or data.get("galaxies", {}).get("path")
        )
        expanded = structured if config.source == "auto" else config.source == "shapelets"
        return cls(light, expanded)
