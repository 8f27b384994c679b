"""A preset from outside the package: the lenses of ``physical``, but round."""

from __future__ import annotations

import dataclasses

import torch

from simulate.presets import Preset
from simulate.presets.physical import PhysicalConfig, PhysicalPrior
from simulate.scenes import Scene


class RoundPrior(PhysicalPrior):
    """Draws the lenses of ``physical`` without their ellipticity."""

    def draw(self, start: int, stop: int) -> Scene:
        scene = super().draw(start, stop)
        none = torch.zeros(len(scene), dtype=torch.float64)
        return dataclasses.replace(scene, params=scene.params | {"e1": none, "e2": none})


ROUND = Preset(PhysicalConfig, RoundPrior)
