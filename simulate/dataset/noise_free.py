"""The truth behind noisy images: their scenes drawn again, and rendered without noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.instruments import Instrument
from simulate.backends import Renderer
from simulate.imaging import make_renderers
from simulate.light.scene_light import add_light
from simulate.observe import expected
from simulate.presets import config_of, make_prior
from simulate.scenes import Scene
from simulate.shards import SOURCES, DataSet
from simulate.sources.store import read_stored_galaxies

#: Images drawn together.
_BLOCK = 64


def render_noise_free(data: DataSet, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Render some images without noise, in the unit of the data set.

    Args:
        data: a data set of one of the presets, or a part of one.
        rows: (R,) which of its images.

    Returns:
        (R, 1, H, W), at the full resolution.

    Raises:
        InputError: as :func:`draw_again`.
    """
    observation = str(data.config.get("observation"))
    clean = np.empty((len(rows), *data.image.shape[1:]), np.float32)
    for members, scene, _, renderer in draw_again(data, rows):
        exposures = scene.params["exposure_time"].numpy()
        clean[members, 0] = expected(observation, renderer.render(scene), exposures)
    return clean


def draw_again(
    data: DataSet, rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Scene, Instrument, Renderer]]:
    """Draw the scenes of some images again, in blocks.

    Labels do not hold all substructure, nor all light; but image k follows from configuration, seed
    and k alone: its scene is drawn again and checked against its labels.

    Args:
        data: a data set of one of the presets, or a part of one.
        rows: (R,) which of its images.

    Yields:
        Positions in ``rows``, the scenes of the images there, their instrument and its renderer.

    Raises:
        InputError: for a data set that no preset has made, or whose labels are not what is drawn
            now: another version of this program made it, or it was changed since.
    """
    if data.numbers is None:
        raise InputError(f"{data.path}: it is not known which images of a data set these are")
    config = config_of(data.config, device="cpu")
    if data.config.get("light_version") != config.identity().get("light_version"):
        raise InputError(
            f"{data.path}: the light of its galaxies was not integrated over the pixels, in an "
            "earlier version of this program; make the data set again"
        )
    prior = make_prior(config)
    galaxies = read_stored_galaxies(data.path) if (data.path / SOURCES).is_file() else None
    camera, renderer = make_renderers(config.model_copy(update={"pairs": None}), galaxies)[0]
    numbers = data.numbers[rows]
    for block in np.unique(numbers // _BLOCK):
        members = np.flatnonzero(numbers // _BLOCK == block)
        members = members[np.argsort(numbers[members])]
        first, last = numbers[members[[0, -1]]].tolist()
        drawn = add_light(prior.draw(first, last + 1), config, camera, galaxies)
        scene = drawn.select(torch.from_numpy(numbers[members] - first))
        _check(scene, data, rows[members])
        yield members, scene, camera, renderer


def _check(scene: Scene, data: DataSet, rows: NDArray[np.int64]) -> None:
    """Refuse a scene that is not that of the images, whatever the reason."""
    same = np.array_equal(scene.label.numpy(), data.label[rows]) and all(
        name in data.params
        and np.allclose(values, data.params[name][rows], rtol=1e-9, atol=0.0, equal_nan=True)
        for name, values in scene.params.items()
    )
    if not same:
        raise InputError(
            f"{data.path}: its labels are not those that its configuration gives now; make the "
            "data set again"
        )
