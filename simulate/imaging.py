"""Images of drawn scenes: rendered, observed, and described."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lensphys.instruments import Instrument
from simulate.backends import Rendered, Renderer, make_renderer
from simulate.config import SimulateConfig
from simulate.hdf5 import DamagedFileError, read_hdf5
from simulate.instruments import coarser, instrument
from simulate.light.scene_light import add_light
from simulate.observe import OBSERVATIONS, noise_sigma
from simulate.scenes import NOISE, NOISE_LOW_RESOLUTION, Prior, Scene, generator
from simulate.shard_form import AGAIN

if TYPE_CHECKING:
    from simulate.sources.galaxies import GalaxyImages

#: Attribute of a shard with the digest of its configuration.
_CONFIGURATION = "config_sha256"


def make_images(
    config: SimulateConfig,
    prior: Prior,
    renderers: list[tuple[Instrument, Renderer]],
    start: int,
    stop: int,
    galaxies: GalaxyImages | None = None,
) -> tuple[Scene, list[NDArray[np.float32]]]:
    """Scenes of images ``start`` to ``stop - 1`` and their images through each instrument.

    Args:
        config: of the data set.
        prior: draws the scenes.
        renderers: each with its instrument, the finest first.
        start, stop: number of the first image, and one more than the last.
        galaxies: the sources, where they are real galaxies; the renderers know them too.

    Returns:
        The scene table, and an array (stop - start, 1, ny, nx) for each renderer.
    """
    scene = add_light(prior.draw(start, stop), config, renderers[0][0], galaxies)
    observe = functools.partial(OBSERVATIONS[config.observation][0], **config.observing())
    exposures = scene.params["exposure_time"].numpy()
    results: list[NDArray[np.float32]] = []
    for (camera, renderer), stream in zip(renderers, (NOISE, NOISE_LOW_RESOLUTION), strict=False):
        wanted = prior.twins and not results
        found = renderer.render_parts(scene, twins=wanted)
        models = found.total
        if wanted:
            strengths = signal_to_noise(scene, found, camera)
            scene = dataclasses.replace(scene, params=scene.params | strengths)
        rng = functools.partial(_noise_generator, config, start, stream)
        images = observe(models, camera.background_sigma, exposures, rng)
        results.append(images[:, None].astype(np.float32))
    return scene, results


def signal_to_noise(scene: Scene, images: Rendered, camera: Instrument) -> dict[str, torch.Tensor]:
    """Strength of the signal in each image, (B,) columns.

    ``peak_snr`` is that of the brightest pixel of the lensed source; ``perturbation_snr`` that of
    the difference from the same scene without substructure, in all pixels together. Both are NaN
    where nothing is lensed. The light of the lens counts as noise alone.

    Args:
        scene: B lens systems.
        images: of them, with their twins.
        camera: that made the images.
    """
    exposures = scene.params["exposure_time"].numpy()
    sigma = noise_sigma(images.total, camera.background_sigma, exposures)
    perturbation = np.zeros(len(scene))
    rows = scene.perturbed().numpy()
    if len(rows):
        assert images.twins is not None
        difference = (images.source[rows] - images.twins[rows]) / sigma[rows]
        perturbation[rows] = np.sqrt((difference**2).sum((-2, -1), dtype=np.float64))
    strengths = {
        "peak_snr": torch.from_numpy((images.source / sigma).max((-2, -1)).astype(np.float64)),
        "perturbation_snr": torch.from_numpy(perturbation),
    }
    if scene.lensed is None:
        return strengths
    lensed = torch.zeros(len(scene), dtype=torch.bool).index_fill_(0, scene.lensed, True)
    return {name: torch.where(lensed, values, torch.nan) for name, values in strengths.items()}


def _noise_generator(
    config: SimulateConfig, start: int, stream: int, i: int
) -> np.random.Generator:
    return generator(config, start + i, stream)


def make_renderers(
    config: SimulateConfig, galaxies: GalaxyImages | None = None
) -> list[tuple[Instrument, Renderer]]:
    """The instrument and its renderer; with ``pairs`` also those of the lower resolution.

    The coarser pixels are met by as many rays an arcsec as the finer ones.
    """
    camera, rays = instrument(config.instrument), config.supersampling
    renderers = [(camera, make_renderer(config, camera, rays, galaxies))]
    if config.pairs:
        coarse = coarser(camera, config.pairs)
        renderers.append((coarse, make_renderer(config, coarse, rays * config.pairs, galaxies)))
    return renderers


def digest_of(config: SimulateConfig) -> str:
    """SHA-256 of all that the images of a data set depend on."""
    return hashlib.sha256(json.dumps(config.identity(), sort_keys=True).encode()).hexdigest()


def configuration_of(shard: Path) -> str | None:
    """The :func:`digest_of` the configuration of a shard; None where it is damaged.

    Empty where the shard holds none, as those of earlier versions.

    Raises:
        InputError: for a shard that cannot be read now.
    """
    try:
        with read_hdf5(shard, AGAIN) as file:
            return str(file.attrs.get(_CONFIGURATION, ""))
    except DamagedFileError:
        return None


def attributes(
    config: SimulateConfig, prior: Prior, renderers: list[tuple[Instrument, Renderer]]
) -> dict[str, Any]:
    """The attributes of a shard."""
    camera = renderers[0][0]
    attrs = {
        "label_names": config.label_names,
        "pixel_scale": camera.pixel_scale,
        "unit": OBSERVATIONS[config.observation][1],
        "preset": config.preset,
        "model": config.model,
        "psf_fwhm": camera.psf_fwhm,
        "psf_truncation": camera.psf_truncation,
        "background_sigma": camera.background_sigma,
        "main_profile": prior.main,
        "alpha_scale": prior.alpha_scale,
        "instrument": config.instrument,
        _CONFIGURATION: digest_of(config),
    }
    if camera.psf_beta is not None:
        attrs["psf_beta"] = camera.psf_beta
    if config.pairs:
        coarse = renderers[1][0]
        attrs["pixel_scale_lr"] = coarse.pixel_scale
        attrs["psf_fwhm_lr"] = coarse.psf_fwhm
        attrs["background_sigma_lr"] = coarse.background_sigma
    return attrs
