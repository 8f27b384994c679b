"""R-hat and effective sample size of chains whose properties are known."""

import math

import pytest
import torch

from lensphys.sampling.diagnostics import effective_size, rhat


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def autoregressive(length, chains, correlation, seed=0):
    noise, x = normal(length, chains, seed=seed), []
    state = noise[0]
    for step in noise:
        state = correlation * state + math.sqrt(1 - correlation**2) * step
        x.append(state)
    return torch.stack(x)


def test_independent_draws_agree():
    chains = normal(1000, 4, 5)
    assert (rhat(chains) - 1).abs().max() < 0.005
    assert (effective_size(chains) / 4000 - 1).abs().max() < 0.1


@pytest.mark.parametrize("correlation", [0.5, 0.9, -0.5])
def test_correlated_draws_count_as_fewer_or_more(correlation):
    chains = autoregressive(20_000, 4, correlation)
    expected = 80_000 * (1 - correlation) / (1 + correlation)
    assert float(effective_size(chains)) == pytest.approx(expected, rel=0.12)


def test_chains_in_other_places_disagree():
    chains = normal(500, 4)
    chains[:, 0] += 0.5
    assert rhat(chains) > 1.02


def test_chains_of_other_widths_disagree():
    chains = normal(500, 4)
    chains[:, 0] *= 3
    assert rhat(chains) > 1.02


def test_a_drift_within_the_chains_is_seen():
    chains = normal(500, 4) + torch.linspace(0, 1, 500, dtype=torch.float64)[:, None]
    assert rhat(chains) > 1.02


def test_only_ranks_count():
    chains = normal(400, 4)
    torch.testing.assert_close(rhat(chains), rhat(chains.exp()))
    torch.testing.assert_close(effective_size(chains), effective_size(chains.exp()))
    assert torch.isfinite(rhat(normal(400, 4) / normal(400, 4, seed=1)))


def test_each_quantity_has_a_number_of_its_own():
    chains = normal(200, 4, 2, 3)
    assert rhat(chains).shape == effective_size(chains).shape == (2, 3)
    torch.testing.assert_close(rhat(chains)[1, 2], rhat(chains[:, :, 1, 2]))
    torch.testing.assert_close(effective_size(chains)[1, 2], effective_size(chains[:, :, 1, 2]))


def test_a_constant_has_converged():
    chains = torch.full((100, 4), 3.0)
    assert rhat(chains) == 1
    assert effective_size(chains) == 400
