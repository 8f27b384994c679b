"""Gaussian priors: penalties, and fits that weigh them against the data."""

import math

import pytest
import torch

from lensphys import fit
from lensphys.fitting.priors import Priors
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like, nudged, stacked

NAMES = ("theta_E", "gamma", "e1")

LIKE = torch.zeros(2)

EVERY = torch.arange(2)


def test_a_penalty_is_the_squared_distance_from_the_mean_in_standard_deviations():
    given = {"gamma": (2.08, 0.16), "e1": (torch.tensor([0.1, -0.1]), torch.tensor([0.1, 0.2]))}
    priors = Priors.read(given, NAMES, LIKE)
    params = torch.tensor([[1.0, 2.4, 0.1], [7.0, 2.08, 0.3]], dtype=torch.float64)
    assert priors.penalty(params, EVERY).tolist() == pytest.approx([4.0, 4.0])
    assert priors.penalty(params[[1]], torch.tensor([0])).tolist() == pytest.approx([4.0])
    assert priors.precision(EVERY)[:, 0].tolist() == [0.0, 0.0]
    assert priors.active.tolist() == [False, True, True]
    named = priors.named(torch.float32)
    assert list(named) == ["gamma", "e1"]
    assert named["e1"][1].tolist() == pytest.approx([0.1, 0.2])


def test_the_pull_is_minus_half_the_slope_of_the_penalty():
    priors = Priors.read({"gamma": (2.0, 0.2), "theta_E": (1.0, 0.3)}, NAMES, LIKE)
    params = torch.rand(2, 3, generator=torch.Generator().manual_seed(1)).double()
    params.requires_grad_()
    (slope,) = torch.autograd.grad(priors.penalty(params, EVERY).sum(), params)
    torch.testing.assert_close(priors.pull(params, EVERY).detach(), -0.5 * slope)


def test_a_prior_between_bounds_is_normalised_there():
    priors = Priors.read({"gamma": (2.0, 0.2)}, NAMES, LIKE)
    low = torch.tensor([0.5, 1.9, -0.2]).double().expand(2, -1)
    high = torch.tensor([1.5, 2.5, 0.3]).double().expand(2, -1)
    density = priors.log_normalisation(low, high).exp()[0]
    grid = torch.linspace(1.9, 2.5, 10_001, dtype=torch.float64)
    shape = torch.exp(-0.5 * ((grid - 2.0) / 0.2) ** 2)
    assert (density[1] * torch.trapezoid(shape, grid)).item() == pytest.approx(1, rel=1e-6)
    assert density[0].item() == pytest.approx(1.0)
    assert density[2].item() == pytest.approx(2.0)


@pytest.fixture(scope="module")
def noisy():
    truth = draw(2, seed=21)
    clean = image_of(truth, (24, 24))
    return truth, clean + 0.3 * noise_like(clean, 22)


def test_a_prior_and_the_data_are_weighted_by_their_errors(noisy):
    truth, images = noisy
    settings = {**KIND, "start": nudged(truth, 0.001), "tolerance": 1e-12}
    free = fit(images, 0.3, **settings)
    e1 = free.params["e1"] + 0.5 * free.errors["e1"]
    sd = free.errors["e1"]
    pulled = fit(images, 0.3, priors={"e1": (e1, sd)}, **settings)
    # Two Gaussian measurements of one error: their mean, and an error smaller by sqrt(2).
    halfway = free.params["e1"] + 0.25 * free.errors["e1"]
    off = (pulled.params["e1"] - halfway) / free.errors["e1"]
    assert off.abs().max() < 0.01
    torch.testing.assert_close(
        pulled.errors["e1"], free.errors["e1"] / math.sqrt(2), rtol=0.02, atol=0
    )
    at = free.names.index("e1")
    precision = torch.zeros_like(free.covariance)
    precision[:, at, at] = sd**-2
    expected = torch.linalg.inv(torch.linalg.inv(free.covariance) + precision)
    torch.testing.assert_close(
        stacked(pulled.errors), expected.diagonal(dim1=1, dim2=2).sqrt(), rtol=0.02, atol=0
    )
    # Half of e1 is known from the prior.
    torch.testing.assert_close(pulled.effective, free.effective - 0.5, rtol=0, atol=0.02)
    chi2 = pulled.residual.square().sum((1, 2))
    torch.testing.assert_close(pulled.chi2_dof, chi2 / (24 * 24 - pulled.effective))
    torch.testing.assert_close(pulled.priors["e1"][0], e1)
    assert free.priors == {}


def test_what_the_data_do_not_know_is_known_from_the_prior():
    priors = {"theta_E": (0.9, 0.05), "gamma1": (0.0, 0.02)}
    images = torch.zeros(1, 24, 24, dtype=torch.float64)
    fixed = {k: v for k, v in draw(1, seed=1).items() if k not in priors}
    fixed["source_amplitude"] = 1e-5
    result = fit(images, 1.0, priors=priors, fixed=fixed, **KIND)
    assert result.effective.item() == pytest.approx(0.0, abs=1e-3)
    assert result.params["theta_E"].item() == pytest.approx(0.9, abs=1e-3)
    assert result.errors["theta_E"].item() == pytest.approx(0.05, rel=1e-2)
    assert result.errors["gamma1"].item() == pytest.approx(0.02, rel=1e-2)


def test_gradients_of_a_fit_with_priors_are_those_of_the_whole_fit(noisy):
    truth, images = noisy
    priors = {"e1": (0.0, 0.02), "source_n_sersic": (1.0, 0.1)}
    settings = {**KIND, "start": truth, "tolerance": 1e-15, "max_steps": 100, "priors": priors}

    def evaluate(at):
        return fit(at, 0.3, **settings).params["theta_E"].sum()

    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(evaluate(leaf), leaf)
    direction = 0.3 * noise_like(images, 1)
    ahead, behind = (evaluate(images + step * direction) for step in (1e-3, -1e-3))
    expected = (ahead - behind).item() / 2e-3
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-5)


REFUSED = {
    "name": ({"gama": (2.0, 0.1)}, "priors names an unknown parameter 'gama'; did you mean gamma"),
    "number": ({"gamma": 2.0}, r"prior of gamma must be \(mean, standard deviation\), got 2.0"),
    "three": ({"gamma": (2.0, 0.1, 0.1)}, "prior of gamma must be"),
    "negative": ({"gamma": (2.0, -0.1)}, "standard deviation of the prior of gamma .* positive"),
    "zero": ({"gamma": (2.0, 0.0)}, "standard deviation of the prior of gamma .* positive"),
    "NaN": ({"gamma": (math.nan, 0.1)}, "mean of the prior of gamma must be finite"),
    "true": ({"gamma": (True, 0.1)}, "mean of the prior of gamma must be a number"),
    "shape": ({"gamma": (torch.zeros(3), 0.1)}, r"mean of the prior of gamma .* got \(3,\)"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_priors_that_make_no_sense_are_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        Priors.read(given, NAMES, LIKE)
