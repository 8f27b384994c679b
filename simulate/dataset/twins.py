"""The twin of an image: the same lens and the same light without its substructure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from simulate.dataset.noise_free import draw_again
from simulate.observe import WITH_NOISE, noise_sigma
from simulate.presets import PRESETS, config_of, make_prior
from simulate.shards import DataSet


def has_twins(identity: dict[str, Any]) -> bool:
    """True where the images of a data set have twins.

    Args:
        identity: the entry ``config`` of its manifest.
    """
    if identity.get("preset") not in PRESETS:
        return False
    config = config_of(identity, device="cpu")
    return make_prior(config).twins and config.observation in WITH_NOISE


def twin_residuals(data: DataSet) -> NDArray[np.float32]:
    """Difference of each image from its own noise-free twin, in units of the noise.

    The twin has the light of the lens, where lenses shine; that of an image without a lens is the
    image itself without noise.

    Args:
        data: a data set of a preset whose substructure is compensated, with noise.

    Returns:
        (N, 1, H, W); without substructure it is noise of unit variance, which is correlated
        between pixels where the observation is drizzled.

    Raises:
        InputError: for a data set whose images have no twins, or as
            :func:`simulate.dataset.noise_free.draw_again`.
    """
    if not has_twins(data.config):
        preset, observation = (data.config.get(key) for key in ("preset", "observation"))
        raise InputError(
            f"{data.path} has preset {preset}, observation {observation}: twins without "
            "substructure need preset physical or realistic, observation detector or drizzled"
        )
    residuals = np.empty_like(data.image)
    for rows, scene, camera, renderer in draw_again(data, np.arange(len(data))):
        models = renderer.render(scene.without_substructure())
        sigma = noise_sigma(models, camera.background_sigma, data.params["exposure_time"][rows])
        residuals[rows, 0] = (data.image[rows, 0] - models) / sigma
    return residuals
