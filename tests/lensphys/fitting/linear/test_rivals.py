"""Rivals: models of an image between which a coarse fit is not sure."""

import math

import pytest
import torch

from lensphys.fitting.linear.rivals import list_rivals, weigh_noise


def test_rivals_are_close_in_evidence_and_far_in_einstein_radius():
    score = torch.tensor([[-1010.0, -1000.0, -1030.0, -1100.0]])
    radius = torch.tensor([[1.2, 1.0, 1.01, 0.7]])
    order, close = list_rivals(score, radius)
    assert order.tolist() == [[1, 0, 2, 3]]
    assert close.tolist() == [[True, True, False, False]]


def test_a_candidate_without_rivals_is_not_fitted_twice():
    score = torch.tensor([[-1000.0, -1001.0], [-1000.0, -1090.0], [-1000.0, math.nan]])
    radius = torch.tensor([[1.0, 1.001], [1.0, 0.7], [1.0, 0.7]])
    order, close = list_rivals(score, radius)
    assert order.tolist() == [[0, 1]] * 3
    assert not close.any()


def test_likelihoods_of_different_noise_compare_as_those_of_gaussians():
    weight = torch.tensor([[[0.5, 2.0], [0.0, 1.0]], [[0.25, 2.0], [0.0, 4.0]]])
    seen = torch.distributions.Normal(0.0, 1 / weight.clamp_min(0.1))
    residual = torch.tensor([[0.3, 0.1], [0.0, -0.4]])
    log = torch.where(weight > 0, seen.log_prob(residual), 0.0).sum((1, 2))
    halves = -0.5 * (residual * weight).square().sum((1, 2))
    own = halves + weigh_noise(weight)
    assert float(own[1] - own[0]) == pytest.approx(float(log[1] - log[0]), abs=1e-5)
