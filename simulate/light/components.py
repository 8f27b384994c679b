"""The light of one image, as it is drawn: profiles and their parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Components:
    """The light of one image: profiles, and columns of the data set that describe them."""

    profiles: tuple[tuple[str, Mapping[str, float]], ...]
    """name in :data:`simulate.light.foreground.PROFILES` and parameters of each"""
    labels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """columns of the data set"""
