"""The twin of an image: the same lens without its substructure."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from simulate.errors import InputError
from simulate.galaxies import SOURCES, stored_galaxies
from simulate.images import make_renderers
from simulate.observe import noise_sigma
from simulate.presets import config_of, make_prior
from simulate.scenes import Scene
from simulate.settings import SimulateConfig
from simulate.shards import DataSet

_BLOCK = 64


def twin_residuals(data: DataSet) -> NDArray[np.float32]:
    """What each image differs by from its own noise-free twin, in units of the noise.

    Args:
        data: a data set of a preset whose substructure is compensated, with noise.

    Returns:
        (N, 1, H, W); without substructure it is noise of unit variance.

    Raises:
        InputError: for a data set whose images have no twin, or not all show a lens without light.
    """
    config = config_of(data.config, device="cpu")
    prior = make_prior(config)
    if not prior.twins or config.observation != "detector":
        raise InputError(
            f"{data.path} has preset {config.preset}, observation {config.observation}: twins "
            "without substructure need preset physical, observation detector"
        )
    galaxies = stored_galaxies(data.path) if (data.path / SOURCES).is_file() else None
    if config.shines:
        raise InputError(
            f"{data.path} shows more light than its labels describe; make it without --lens-light "
            "and --non-lens"
        )
    camera, renderer = make_renderers(config, galaxies)[0]
    residuals = np.empty_like(data.image)
    for start in range(0, len(data), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(data)))
        scene = _scene(config, data, block).without_substructure()
        models = renderer.render(scene)
        sigma = noise_sigma(models, camera.background_sigma, data.params["exposure_time"][block])
        residuals[block, 0] = (data.image[block, 0] - models) / sigma
    return residuals


def _scene(config: SimulateConfig, data: DataSet, block: slice) -> Scene:
    """The macro model of some images, from their labels."""
    params = {name: torch.from_numpy(values[block]) for name, values in data.params.items()}
    label = torch.from_numpy(data.label[block])
    index = torch.arange(block.start, block.stop)
    return Scene(index, label, params, make_prior(config).main)
