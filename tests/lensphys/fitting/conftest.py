"""Fitters and a sample of fits that several tests look at."""

import pytest

from lensphys import Fitter
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like


@pytest.fixture(scope="module")
def fitter():
    """One fitter of default settings; its templates are made once."""
    return Fitter(**KIND)


@pytest.fixture(scope="module")
def wide_fitter():
    """Another one, for float64."""
    return Fitter(**KIND)


@pytest.fixture(scope="module")
def sample(fitter):
    """128 lenses of peak S/N 30, float32: truth, images, sigma, chi^2 of the truth, and fits."""
    truth = draw(128, seed=5)
    clean = image_of(truth)
    sigma = clean.amax((1, 2)) / 30
    noise = noise_like(clean, 6)
    images = (clean + sigma[:, None, None] * noise).float()
    chi2 = noise.square().sum((1, 2))
    return truth, images, sigma.float(), chi2, fitter(images, sigma.float())
