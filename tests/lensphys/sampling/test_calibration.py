"""Simulation-based calibration: truths drawn from the prior are like draws from the posterior.

Talts et al. 2018 (arXiv:1804.06788): the rank of the truth among the draws is uniform.
"""

import pytest
import torch
from scipy import stats

from lensphys import GaussianPSF, fit, pixel_grid, sample
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels
from lensphys.sampling import sampler
from tests.lensphys.fitting.mocks import POPULATION

LENSES, DRAWS, PIXEL = 32, 40, 0.24
NORMAL = dict.fromkeys(("center_x", "center_y", "gamma1", "gamma2"), (0.0, 0.04))
FLAT = {name: ends for name, ends in POPULATION.items() if name not in NORMAL}


@pytest.mark.filterwarnings("ignore:the chains")
def test_ranks_of_truths_among_their_draws_are_uniform(monkeypatch):
    monkeypatch.setattr(sampler, "_DOUBLINGS", 0)
    monkeypatch.setattr(sampler, "_LEAST", 60)
    scene, psf = LensScene(), GaussianPSF(0.24, PIXEL)
    generator = torch.Generator().manual_seed(11)
    truth = {}
    for name in scene.names:
        if name in NORMAL:
            unit = torch.randn(LENSES, generator=generator, dtype=torch.float64)
            truth[name] = NORMAL[name][0] + NORMAL[name][1] * unit
        else:
            low, high = FLAT[name]
            unit = torch.rand(LENSES, generator=generator, dtype=torch.float64)
            truth[name] = low + (high - low) * unit
    x, y = pixel_grid(16, PIXEL, dtype=torch.float64)
    clean = scene.image(truth, Pixels(x, y, psf=psf))
    sigma = 0.1  # the same for all, lest the noise tell of the truth; a peak of about 120 sigma
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    images = (clean + sigma * noise).float()
    bounds = {name: FLAT[name] for name in scene.names if name in FLAT}
    kind = {"pixel_scale": PIXEL, "psf": psf, "bounds": bounds, "priors": NORMAL}
    result = fit(images, sigma, **kind)
    draws = sample(result, DRAWS, seed=3, warmup=60)
    pooled = []
    for name in scene.names:
        rank = (draws[name].double() < truth[name]).sum(0)
        assert stats.kstest(((rank + 0.5) / (DRAWS + 1)).numpy(), "uniform").pvalue > 1e-3, name
        pooled.append(rank)
    counts = torch.histc(torch.cat(pooled).double(), 8, 0, DRAWS)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    # A quarter of the truths lies in each half of either half.
    middle = ((torch.cat(pooled) > DRAWS / 4) & (torch.cat(pooled) < 3 * DRAWS / 4)).double().mean()
    assert 0.42 < middle < 0.56
