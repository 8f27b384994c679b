"""Hamiltonian motion: reversible, exact in a normal distribution, tuned lens by lens."""

import dataclasses

import pytest
import torch

from lensphys.sampling.hamiltonian import Chains, Noise
from lensphys.sampling.posterior import Posterior
from tests.lensphys.sampling.toys import NormalToy, correlated, wide

SHAPE = (4, 3)


def chains_of(mean, precision, **more):
    problem = NormalToy(wide(3), mean, precision, **more)
    noise = Noise(1, problem.images, problem.weight, SHAPE)
    return Chains(Posterior(problem), mean, noise, SHAPE[0])


@pytest.fixture
def chains():
    return chains_of(torch.zeros(2, 3).double(), correlated(3, seed=1))


def phase(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("misled", [1.0, 1.5])
def test_a_path_leads_back_when_the_momentum_is_turned(misled):
    chains = chains_of(torch.zeros(2, 3).double(), correlated(3, seed=1), misled=misled)
    lenses, q, p = torch.arange(2), phase(1), phase(2)
    force = chains._forces(q, lenses)
    how = (torch.tensor([0.4, 0.3]).double(), torch.tensor([3.0, 5.0]), lenses)
    there, momentum, pull, _ = chains._follow(q, p, force, *how)
    back, *_ = chains._follow(there, -momentum, pull, *how)
    assert (there - q).abs().min() > 0.01
    torch.testing.assert_close(back, q)


def test_a_normal_posterior_is_followed_exactly_in_steps_of_any_size(chains):
    lenses, q, p = torch.arange(2), phase(3), phase(4)
    size, steps = torch.tensor([1.2, 0.6]).double(), torch.tensor([1.0, 2.0])
    new, momentum, *_ = chains._follow(q, p, chains._forces(q, lenses), size, steps, lenses)
    before = chains._energies(q, lenses) + 0.5 * p.square().sum(2)
    after = chains._energies(new, lenses) + 0.5 * momentum.square().sum(2)
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)
    cos, sin = torch.cos(torch.tensor(1.2)), torch.sin(torch.tensor(1.2))
    torch.testing.assert_close(new, cos * q + sin * p, rtol=0, atol=0.02)


def test_steps_become_as_small_as_the_force_of_each_lens_needs(chains):
    box = chains._box
    widths = torch.tensor([1.0, 3.0]).double()[:, None, None]  # one three times too large
    chains._box = dataclasses.replace(box, transform=widths * box.transform)
    chains._force = chains._forces(chains._q, torch.arange(2))
    chains._energy = chains._energies(chains._q, torch.arange(2))
    chains.tune(60)
    assert chains.step[0] > 2
    assert chains.step[1] < 0.9
    _, accepted = chains.draw(60, torch.arange(2))
    assert (accepted > 0.6).all()
    # The chains themselves tell the width.
    chains.adapt(100)
    chains.tune(60)
    assert (chains.step > 1.0).all()


def test_new_coordinates_leave_chains_where_they_are(chains):
    lenses, moved, box = torch.arange(2), [], chains._box
    move = chains._move

    def record(which):
        q, accepted = move(which)
        moved.append(box.coordinates(q))
        return q, accepted

    chains._move = record
    chains.adapt(30)
    torch.testing.assert_close(chains._box.coordinates(chains._q), moved[-1])
    torch.testing.assert_close(chains._energies(chains._q, lenses), chains._energy)
    torch.testing.assert_close(chains._forces(chains._q, lenses), chains._force)


def test_chains_start_where_the_model_has_a_value():
    class Walled(NormalToy):
        def energy(self, z, index):
            params, _ = self.bounds.forward(z, index)
            inside = params.abs().amax(1) < 0.5
            return torch.where(inside, super().energy(z, index), torch.nan)

    problem = Walled(wide(3), torch.zeros(2, 3).double(), torch.eye(3).double())
    noise = Noise(1, problem.images, problem.weight, SHAPE)
    chains = Chains(Posterior(problem), torch.zeros(2, 3).double(), noise, 4)
    assert torch.isfinite(chains._energy).all()
    places, _ = chains.draw(20, torch.arange(2))
    assert places.abs().max() < 0.5


def test_random_numbers_of_a_lens_follow_from_the_seed_and_its_image():
    images, weight = torch.randn(3, 4, 4), torch.ones(3, 4, 4)
    all_of_them = Noise(5, images, weight, SHAPE).normal([0, 1, 2])
    one = Noise(5, images[1:2], weight[1:2], SHAPE).normal([0])
    torch.testing.assert_close(one[0], all_of_them[1], rtol=0, atol=0)
    assert (all_of_them[0] != all_of_them[1]).all()
    assert (Noise(6, images, weight, SHAPE).normal([0, 1, 2]) != all_of_them).all()
    masked = weight.clone()
    masked[1, 0, 0] = 0
    assert (Noise(5, images, masked, SHAPE).normal([1]) != all_of_them[1]).all()
