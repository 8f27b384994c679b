"""Observations: from a noise-free model to the image that a data set holds."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError

#: Observations without noise, and those with background and shot noise as :func:`noise_sigma`.
NOISELESS, WITH_NOISE = ("noise_free", "doubled"), ("detector", "drizzled")

Images = NDArray[np.floating]
#: Electrons in a pixel; far beyond any detector, and below where their whole numbers end.
_MOST = 1e15
#: model images (B, ny, nx) in flux per unit time, background sigma, exposure times (B,), and the
#: random numbers of the i-th image -> images (B, ny, nx)
Observation = Callable[..., Images]


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


def drizzled(
    models: Images,
    background_sigma: float,
    exposures: NDArray[np.float64],
    rng: Callable[[int], np.random.Generator],
    drop: float,
) -> Images:
    """:func:`detector` with noise that is correlated between pixels, as in drizzled images.

    A pixel has the same noise as there; its correlation with the next ones is that of dithered
    exposures whose pixels fall as squares of side ``drop`` on those of the image (Fruchter & Hook
    2002, PASP 114, 144; Casertano et al. 2000, AJ 120, 2747, appendix A).
    """
    _countable(models, exposures)
    taps = drizzle_taps(drop)
    images = np.empty_like(models)
    for i, (model, exposure) in enumerate(zip(models, exposures, strict=True)):
        random, wide = rng(i), len(taps) // 2
        expected = np.pad(exposure * model.clip(min=0), wide, mode="edge")
        noise = (random.poisson(expected) - expected) / exposure
        noise += random.standard_normal(noise.shape, np.float32) * background_sigma
        along_y = sum(tap * noise[k : k + len(model)] for k, tap in enumerate(taps))
        assert isinstance(along_y, np.ndarray)
        columns = model.shape[-1]
        images[i] = model.clip(min=0) + sum(
            tap * along_y[:, k : k + columns] for k, tap in enumerate(taps)
        )
    return images


@functools.lru_cache(maxsize=8)
def drizzle_taps(drop: float) -> tuple[float, ...]:
    """Symmetric weights, of squares that sum to 1, that give white noise its correlation.

    A drop of side ``a`` puts on a pixel the overlap of both, a trapezoid in their distance. Over
    many dithers, the noise of two pixels at distance ``d`` has the autocorrelation of that
    trapezoid at ``d``; the weights are its spectral root.

    Args:
        drop: side of a drop over that of a pixel, from above 0 to 3.
    """
    fine, reach = 64, 8
    at = (np.arange(2 * reach * fine) - reach * fine) / fine
    overlap = (0.5 * (1 + drop) - np.abs(at)).clip(0, min(drop, 1.0))
    correlation = np.correlate(overlap, overlap, "same")
    middle = int(correlation.argmax())
    steps = np.arange(-reach + 1, reach)
    sampled = correlation[middle + steps * fine] / correlation[middle]
    spectrum = np.fft.fft(np.fft.ifftshift(sampled)).real.clip(min=0)
    root = np.fft.fftshift(np.fft.ifft(np.sqrt(spectrum)).real)
    taps = root[reach - 1 - 4 : reach + 4]
    return tuple((taps / np.sqrt((taps**2).sum())).tolist())


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
    "drizzled": (drizzled, "e-/s"),
}
