"""Both backends render the same scenes."""

import numpy as np
import pytest
import torch

from simulate.backends.lenstronomy import LenstronomyRenderer
from simulate.backends.torch import TorchRenderer
from simulate.instruments import instrument
from simulate.presets.physical import PhysicalPrior

N = 900


@pytest.mark.parametrize("model", [1, 2, 3])
def test_images_of_subhaloes_and_vortices_are_lenstronomys(configure, model):
    """The same scenes through both backends; the vortex is many point masses in lenstronomy."""
    config = configure(model, "cdm.mass_min=2e9", preset="physical")
    scene = PhysicalPrior(config).draw(0, 3)
    camera = instrument(config.instrument)
    ours = TorchRenderer(camera, dtype=torch.float64, supersampling=2).render(scene)
    theirs = LenstronomyRenderer(camera, supersampling=2).render(scene)
    deviation = np.abs(ours - theirs).reshape(3, -1) / theirs.reshape(3, -1).max(1)[:, None]
    assert deviation[0].max() < 1e-8
    assert deviation[1].max() < 1e-6  # lenstronomy cuts the cusp of a halo off at 1e-3 Rs
    # A chain of point masses is rough at the distance of its links, a line is not.
    assert np.quantile(deviation[2], 0.99) < 1e-4
    assert deviation[2].max() < 0.05
