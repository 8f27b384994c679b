"""The twin of an image: the same lens and the same light without its substructure."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simulate.errors import InputError
from simulate.galaxies import SOURCES, GalaxyImages, stored_galaxies
from simulate.images import make_renderers
from simulate.instruments import Instrument
from simulate.light import add_light
from simulate.observe import noise_sigma
from simulate.presets import PRESETS, config_of, make_prior
from simulate.scenes import Scene
from simulate.settings import SimulateConfig
from simulate.shards import DataSet

_BLOCK = 64


def has_twins(identity: dict[str, Any]) -> bool:
    """Whether the images of a data set have twins.

    Args:
        identity: the entry ``config`` of its manifest.
    """
    if identity.get("preset") not in PRESETS:
        return False
    config = config_of(identity, device="cpu")
    return make_prior(config).twins and config.observation == "detector"


def twin_residuals(data: DataSet) -> NDArray[np.float32]:
    """What each image differs by from its own noise-free twin, in units of the noise.

    The twin has the light of the lens, where lenses shine; that of an image without a lens is the
    image itself without noise.

    Args:
        data: a data set of a preset whose substructure is compensated, with noise.

    Returns:
        (N, 1, H, W); without substructure it is noise of unit variance.

    Raises:
        InputError: for a data set whose images have no twins.
    """
    if not has_twins(data.config):
        preset, observation = (data.config.get(key) for key in ("preset", "observation"))
        raise InputError(
            f"{data.path} has preset {preset}, observation {observation}: twins "
            "without substructure need preset physical, observation detector"
        )
    config = config_of(data.config, device="cpu")
    galaxies = stored_galaxies(data.path) if (data.path / SOURCES).is_file() else None
    camera, renderer = make_renderers(config, galaxies)[0]
    residuals = np.empty_like(data.image)
    for start in range(0, len(data), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(data)))
        models = renderer.render(_twins(config, data, block, camera, galaxies))
        sigma = noise_sigma(models, camera.background_sigma, data.params["exposure_time"][block])
        residuals[block, 0] = (data.image[block, 0] - models) / sigma
    return residuals


def _twins(
    config: SimulateConfig,
    data: DataSet,
    block: slice,
    camera: Instrument,
    galaxies: GalaxyImages | None,
) -> Scene:
    """The twins of some images: mass and source from their labels, light from their numbers."""
    numbers = np.arange(len(data)) if data.numbers is None else data.numbers
    params = {name: torch.from_numpy(values[block]) for name, values in data.params.items()}
    label, index = torch.from_numpy(data.label[block]), torch.from_numpy(numbers[block])
    scene = Scene(index, label, params, make_prior(config).main)
    # Labels do not say all of a look-alike; drawn again, its light is the same.
    lit = add_light(scene, config, camera, galaxies)
    lit = dataclasses.replace(lit, params=params)
    return lit.without_substructure()
