"""Gaussian approximation of the posterior: evidence against brute force."""

import math

import pytest
import torch

from lensphys import fit
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like


def integrate(problem, name, low, high, density):
    """Log evidence of a problem with one free parameter, image 0, by brute force."""
    at = problem.scene.names.index(name)
    grid = torch.linspace(low, high, 4001, dtype=torch.float64)[1:-1]
    index = torch.zeros(len(grid), dtype=torch.long)
    params = problem.bounds.forward(
        torch.zeros(len(grid), len(problem.scene.names)).double(), index
    )[0]
    params[:, at] = grid
    model = problem.model(problem.scene.named(params))
    chi2 = ((problem.images[0] - model) * problem.weight[0]).square().sum((1, 2))
    log = -0.5 * chi2 + density(grid)
    weight = problem.weight[0][problem.weight[0] > 0]
    noise = torch.log(weight / math.sqrt(2 * math.pi)).sum()
    return (torch.logsumexp(log, 0) + math.log((high - low) / 4000) + noise).item()


@pytest.fixture(scope="module")
def mock():
    truth = draw(1, seed=41)
    clean = image_of(truth, (24, 24))
    return truth, clean + 0.3 * noise_like(clean, 42)


@pytest.mark.parametrize("name", ["theta_E", "e1"])
@pytest.mark.parametrize("prior", [None, (0.02, 0.004)])
def test_the_evidence_of_one_parameter_is_its_integral(name, prior, mock):
    truth, images = mock
    fixed = {k: v for k, v in truth.items() if k != name}
    centre = truth[name].item()
    low, high = centre - 0.1, centre + 0.15
    priors = {} if prior is None else {name: (centre + prior[0], prior[1])}
    settings = {**KIND, "bounds": {name: (low, high)}, "start": truth, "tolerance": 1e-10}
    result = fit(images, 0.3, fixed=fixed, priors=priors, **settings)

    def density(value):
        if prior is None:
            return torch.full_like(value, -math.log(high - low))
        off = (value - centre - prior[0]) / prior[1]
        return -0.5 * off**2 - math.log(prior[1] * math.sqrt(2 * math.pi))

    expected = integrate(result.problem, name, low, high, density)
    assert result.evidence.item() == pytest.approx(expected, abs=0.05)


def test_a_parameter_without_influence_costs_no_evidence(mock):
    truth, images = mock
    dark = {**{k: v for k, v in truth.items() if k != "e1"}, "source_amplitude": 1e-30}
    settings = {**KIND, "start": truth, "max_steps": 1}
    held = fit(images, 0.3, fixed={**dark, "e1": 0.0}, **settings)
    free = fit(images, 0.3, fixed=dark, **settings)
    assert free.evidence.item() == pytest.approx(held.evidence.item(), abs=1e-6)
    assert held.effective.item() == 0
    assert free.effective.item() == 1


def test_the_evidence_prefers_the_model_that_the_image_was_made_with(mock):
    truth, images = mock
    settings = {**KIND, "start": truth, "tolerance": 1e-6}
    right = fit(images, 0.3, **settings)
    sheared = fit(images, 0.3, fixed={"gamma1": truth["gamma1"] + 0.05}, **settings)
    assert right.evidence > sheared.evidence + 10


def test_masked_pixels_do_not_count_as_evidence(mock):
    truth, images = mock
    fixed = {k: v for k, v in truth.items() if k != "theta_E"}
    settings = {**KIND, "start": truth, "fixed": fixed}
    sigma = torch.full((24, 24), 0.3).double()
    sigma[:6] = math.inf
    masked = fit(images, sigma, **settings).evidence.item()
    images = images.clone()
    images[:, :6] = 1e5
    assert fit(images, sigma, **settings).evidence.item() == pytest.approx(masked, abs=1e-3)
