"""Observations: from a noise-free model to the image that a data set holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError

#: Observations without noise.
NOISELESS = ("noise_free", "doubled")

Images = NDArray[np.floating]
#: Electrons in a pixel; far beyond any detector, and below where their whole numbers end.
_MOST = 1e15
#: model images (B, ny, nx) in flux per unit time, background sigma, exposure times (B,), and the
#: random numbers of the i-th image -> images (B, ny, nx)
Observation = Callable[
    [Images, float, NDArray[np.float64], Callable[[int], np.random.Generator]], Images
]


def noise_free(
    models: Images,
    background_sigma: float,
    exposures: NDArray[np.float64],
    rng: Callable[[int], np.random.Generator],
) -> Images:
    """The model itself, e-/s."""
    return models


def doubled(
    models: Images,
    background_sigma: float,
    exposures: NDArray[np.float64],
    rng: Callable[[int], np.random.Generator],
) -> Images:
    """Twice the model, without noise.

    DeepLenseSim adds the model to itself where it means to add the noise; the published images of
    Models 2 and 3 are this.
    """
    return 2 * models


def counts(
    models: Images,
    background_sigma: float,
    exposures: NDArray[np.float64],
    rng: Callable[[int], np.random.Generator],
) -> Images:
    """Counts with shot noise drawn twice, as in the published images of Model 1.

    DeepLenseSim adds a Gaussian approximation of the shot noise and the background, and then draws
    Poisson counts of the sum.
    """
    _countable(models, exposures)
    images = np.empty_like(models)
    for i, (model, exposure) in enumerate(zip(models, exposures, strict=True)):
        random = rng(i)
        shot = random.standard_normal(model.shape) * np.sqrt(np.abs(model) / exposure)
        background = random.standard_normal(model.shape) * background_sigma
        expected = exposure * (model + shot + background)
        images[i] = random.poisson(expected.clip(min=0))
    return images


def detector(
    models: Images,
    background_sigma: float,
    exposures: NDArray[np.float64],
    rng: Callable[[int], np.random.Generator],
) -> Images:
    """Counts of a detector as a rate: shot noise on electrons, and noise of the background.

    The background of sky and read-out, which is not in the model, leaves its noise alone.
    """
    _countable(models, exposures)
    images = np.empty_like(models)
    for i, (model, exposure) in enumerate(zip(models, exposures, strict=True)):
        random = rng(i)
        # The interpolation of a real galaxy may swing below zero between its pixels.
        electrons = random.poisson(exposure * model.clip(min=0))
        background = random.standard_normal(model.shape, np.float32) * background_sigma
        images[i] = electrons / exposure + background
    return images


def _countable(models: Images, exposures: NDArray[np.float64]) -> None:
    """Refuse light that no detector could count."""
    brightest = float((models.max((-2, -1)) * exposures).max())
    if not brightest < _MOST:
        raise InputError(
            f"a pixel would count {brightest:.3g} electrons (at most {_MOST:.0e}): source, lens or "
            "look-alikes are too bright, or the exposure too long"
        )


def noise_sigma(
    models: Images, background_sigma: float, exposures: NDArray[np.float64]
) -> NDArray[np.floating]:
    """Standard deviation of :func:`detector` in each pixel, (B, ny, nx)."""
    per_electron = (1 / exposures[:, None, None]).astype(models.dtype)
    sigma: NDArray[np.floating] = np.sqrt(background_sigma**2 + models.clip(min=0) * per_electron)
    return sigma


def expected(
    observation: str, models: Images, exposures: NDArray[np.float64]
) -> NDArray[np.floating]:
    """Images of an observation without noise, in its own unit, (B, ny, nx).

    Counts that are clipped at zero have a larger mean than this: it is the light, without the sky
    that clipping leaves.
    """
    if observation == "counts":
        return models * exposures[:, None, None].astype(models.dtype)
    return 2 * models if observation == "doubled" else models


#: Observations that a configuration may name, with the unit of the image.
OBSERVATIONS: dict[str, tuple[Observation, str]] = {
    "noise_free": (noise_free, "e-/s"),
    "doubled": (doubled, "2 e-/s"),
    "counts": (counts, "counts"),
    "detector": (detector, "e-/s"),
}
