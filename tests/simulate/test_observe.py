"""The noise of each observation."""

import numpy as np
import pytest
from scipy import stats

from simulate.observe import (
    OBSERVATIONS,
    counts,
    detector,
    doubled,
    drizzle_taps,
    drizzled,
    noise_free,
    noise_sigma,
)

SIGMA, EXPOSURE = 0.01, 2000.0


def draws(level, n=20_000):
    """Counts of n pixels of one brightness, e-/s, at an exposure of 2000 s."""
    model = np.full((1, 1, n), level)
    return counts(model, SIGMA, np.array([EXPOSURE]), np.random.default_rng)[0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_are_whole_numbers_of_the_given_precision(dtype):
    model = np.linspace(0, 0.2, 600, dtype=dtype).reshape(2, 15, 20)
    images = counts(model, SIGMA, np.array([1000.0, 3000.0]), np.random.default_rng)
    assert images.dtype == dtype
    assert images.shape == model.shape
    assert (images >= 0).all()
    assert (images == np.round(images)).all()


@pytest.mark.parametrize("level", [0.05, 0.1, 0.2])
def test_counts_have_the_shot_noise_twice(level):
    """Mean T m and variance 2 T m + T^2 sigma^2, where clipping at zero does not matter."""
    drawn = draws(level)
    variance = 2 * EXPOSURE * level + (EXPOSURE * SIGMA) ** 2
    error = np.sqrt(variance / drawn.size)
    assert drawn.mean() == pytest.approx(EXPOSURE * level, abs=4 * error)
    assert drawn.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / drawn.size))


def test_counts_of_dark_pixels_are_clipped_at_zero():
    """The mean of max(0, noise) is T sigma / sqrt(2 pi); half of the pixels have no counts."""
    drawn = draws(0.0)
    expected = EXPOSURE * SIGMA / np.sqrt(2 * np.pi)
    assert drawn.mean() == pytest.approx(expected, rel=0.04)
    assert (drawn == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_counts_follow_the_published_recipe_step_by_step():
    """The distribution of ``poisson((exposure * (model + shot + background)).clip(0))``."""
    rng, level, n = np.random.default_rng(7), 0.03, 20_000
    noisy = level + rng.normal(0, np.sqrt(level / EXPOSURE), n) + rng.normal(0, SIGMA, n)
    recipe = rng.poisson((EXPOSURE * noisy).clip(0))
    assert stats.ks_2samp(draws(level), recipe).pvalue > 1e-3


def test_every_image_has_its_own_random_numbers():
    models = np.full((2, 8, 8), 0.1)
    exposures = np.array([1000.0, 1000.0])
    both = counts(models, SIGMA, exposures, lambda i: np.random.default_rng(i + 4))
    second = counts(models[1:], SIGMA, exposures[1:], lambda i: np.random.default_rng(5))
    assert (both[1] == second[0]).all()
    assert (both[0] != both[1]).any()


@pytest.mark.parametrize(("observe", "factor"), [(noise_free, 1), (doubled, 2)])
def test_doubled_and_noise_free_images_have_no_noise(observe, factor):
    models = np.random.default_rng(0).random((3, 5, 5))
    assert (observe(models, 1.0, np.ones(3), np.random.default_rng) == factor * models).all()


@pytest.mark.parametrize(("model", "name"), [(1, "counts"), (2, "doubled"), (3, "doubled")])
def test_models_are_observed_as_they_were_published(configure, model, name):
    assert configure(model).observation == name
    assert name in OBSERVATIONS


def test_a_detector_counts_electrons():
    """Mean and variance of the noise are those of shot noise and background."""
    model = np.full((1, 300, 300), 0.05, np.float32)
    exposure, background = np.array([2000.0]), 0.003
    image = detector(model, background, exposure, lambda i: np.random.default_rng(i))[0]
    sigma = noise_sigma(model, background, exposure)[0, 0, 0]
    assert sigma == pytest.approx(np.sqrt(0.003**2 + 0.05 / 2000), rel=1e-6)
    assert image.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * image.size))
    assert image.mean() == pytest.approx(0.05, abs=float(5 * sigma / 300))


@pytest.mark.parametrize("drop", [0.5, 1.0, 1.28])
def test_drizzled_noise_is_that_of_the_detector_and_correlated(drop):
    """A pixel has the variance of before; the mean of many is noisier than if they were apart."""
    taps = np.array(drizzle_taps(drop))
    assert (taps**2).sum() == pytest.approx(1)
    models = np.full((1, 200, 200), 5.0)
    exposures, rng = np.array([100.0]), lambda i: np.random.default_rng(3)
    image = drizzled(models, 0.3, exposures, rng, drop)[0]
    noise = image - 5.0
    assert noise.std() == pytest.approx(np.sqrt(0.3**2 + 5 / 100), rel=0.03)
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    expected = (taps[1:] * taps[:-1]).sum()
    assert neighbours == pytest.approx(expected, abs=0.03)
    assert expected > 0.05


def test_the_correlation_of_drops_is_that_of_their_overlap():
    """Pixel-sized drops: the autocorrelation of a triangle, 1/4 at the next pixel and 0 beyond."""
    taps = np.array(drizzle_taps(1.0))
    correlation = np.correlate(taps, taps, "full")
    middle = len(taps) - 1
    assert correlation[middle + 1] == pytest.approx(0.25, abs=0.01)
    assert correlation[middle + 2] == pytest.approx(0, abs=0.01)
