"""Surrogate of an energy: what it learns, and where it knows nothing."""

import pytest
import torch

from lensphys.sampling.surrogate import Surrogate


def energy(q):
    """A normal distribution of unit width, bent and widened."""
    bent = 0.5 * (q[..., 0] - 0.15 * q[..., 1].square()).square()
    return bent + 0.3 * q[..., 1].square() + 0.5 * q[..., 2:].square().sum(-1)


def pull(q):
    """Downhill gradient of its difference from the normal distribution of unit width."""
    q = q.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((energy(q) - 0.5 * q.square().sum(-1)).sum(), q)
    return -gradient


def places(count, seed, spread=1.5):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(2, count, 4, generator=generator, dtype=torch.float64)


def test_the_pull_is_that_of_the_energy_where_it_is_known():
    known, q = places(400, seed=1), places(50, seed=2, spread=1.0)
    found, right = Surrogate(known, energy(known)).pull(q), pull(q)
    off = (found - right).square().mean().sqrt() / right.square().mean().sqrt()
    assert off < 0.2


def test_a_normal_energy_pulls_nowhere():
    known = places(200, seed=1)
    found = Surrogate(known, 0.5 * known.square().sum(2) + 7).pull(places(20, seed=2))
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-8)


def test_nothing_pulls_far_away():
    known = places(200, seed=1)
    found = Surrogate(known, energy(known)).pull(places(20, seed=2) + 300)
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-8)


@pytest.mark.parametrize("bad", [torch.inf, 1e6])
def test_a_place_without_a_value_or_of_no_weight_does_not_matter(bad):
    known, q = places(300, seed=1), places(50, seed=2, spread=1.0)
    values = energy(known)
    values[:, ::10] = bad
    off = Surrogate(known, values).pull(q) - pull(q)
    assert off.square().mean().sqrt() / pull(q).square().mean().sqrt() < 0.2


def test_each_lens_has_a_surrogate_of_its_own():
    known, q = places(200, seed=1), places(20, seed=2)
    values = torch.stack([energy(known[0]), 3 * energy(known[1])])
    both = Surrogate(known, values).pull(q)
    alone = Surrogate(known[1:], values[1:]).pull(q[1:])
    torch.testing.assert_close(both[1:], alone)
