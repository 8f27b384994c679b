"""Images of drawn scenes: rendered, observed, and described."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from simulate.backends import Renderer, make_renderer
from simulate.config import SimulateConfig
from simulate.instruments import Instrument, instrument
from simulate.observe import OBSERVATIONS
from simulate.scenes import NOISE, NOISE_LOW_RESOLUTION, Prior, Scene, generator


def make_images(
    config: SimulateConfig,
    prior: Prior,
    renderers: list[tuple[Instrument, Renderer]],
    start: int,
    stop: int,
) -> tuple[Scene, list[np.ndarray[Any, np.dtype[np.float32]]]]:
    """Scenes of images ``start`` to ``stop - 1`` and their images through each instrument.

    Returns:
        The scene table, and an array (stop - start, 1, ny, nx) for each renderer.
    """
    scene = prior.draw(start, stop)
    observe, _ = OBSERVATIONS[config.observation]
    exposures = scene.params["exposure_time"].numpy()
    results = []
    for (camera, renderer), stream in zip(renderers, (NOISE, NOISE_LOW_RESOLUTION), strict=False):
        rng = functools.partial(_noise_generator, config, start, stream)
        images = observe(renderer.render(scene), camera.background_sigma, exposures, rng)
        results.append(images[:, None].astype(np.float32))
    return scene, results


def _noise_generator(
    config: SimulateConfig, start: int, stream: int, i: int
) -> np.random.Generator:
    return generator(config, start + i, stream)


def make_renderers(config: SimulateConfig) -> list[tuple[Instrument, Renderer]]:
    """The instrument and its renderer; with ``pairs`` also those of the lower resolution."""
    cameras = [instrument(config.instrument)]
    if config.pairs:
        cameras.append(cameras[0].coarser(config.pairs))
    return [(camera, make_renderer(config, camera)) for camera in cameras]


def attributes(
    config: SimulateConfig, prior: Prior, renderers: list[tuple[Instrument, Renderer]]
) -> dict[str, Any]:
    """The attributes of a shard."""
    camera = renderers[0][0]
    attrs = {
        "label_names": list(config.classes),
        "pixel_scale": camera.pixel_scale,
        "unit": OBSERVATIONS[config.observation][1],
        "preset": config.preset,
        "model": config.model,
        "psf_fwhm": camera.psf_fwhm,
        "psf_truncation": camera.psf_truncation,
        "background_sigma": camera.background_sigma,
        "alpha_scale": prior.alpha_scale,
        "instrument": config.instrument,
    }
    if config.pairs:
        coarse = renderers[1][0]
        attrs["pixel_scale_lr"] = coarse.pixel_scale
        attrs["psf_fwhm_lr"] = coarse.psf_fwhm
        attrs["background_sigma_lr"] = coarse.background_sigma
    return attrs
