"""Hamiltonian motion: reversible, exact in a normal distribution, tuned lens by lens."""

import copy

import pytest
import torch

from lensphys.sampling.hamiltonian import Chains, Noise
from lensphys.sampling.posterior import Posterior
from lensphys.sampling.surrogate import Surrogate
from tests.lensphys.sampling.toys import NormalToy, correlated, wide

SHAPE = (4, 3)


def chains_of(mean, precision, **more):
    problem = NormalToy(wide(3), mean, precision, **more)
    noise = Noise(1, problem.images, problem.weight, SHAPE)
    return Chains(Posterior(problem), mean, noise, SHAPE[0])


@pytest.fixture
def chains():
    return chains_of(torch.zeros(2, 3).double(), correlated(3, seed=1))


def bent_chains(bend):
    """Chains whose posterior has a bend of this strength along their first coordinate."""
    chains = chains_of(torch.zeros(2, 3).double(), correlated(3, seed=1))
    exact, box = chains._posterior.energy, chains._box

    def energy(u, index):
        off = (u - box.centre[index])[..., None]
        q = torch.linalg.solve(box.transform[index], off)[..., 0]
        return exact(u, index) - bend * q[:, 0] * q[:, 1].square() + 0.5 * bend**2 * q[:, 1] ** 4

    chains._posterior.energy = energy
    chains._energy = chains._energies(chains._q)
    q = 2 * torch.cat([phase(seed) for seed in range(40)], 1)
    index = torch.arange(2).repeat_interleave(q.shape[1])
    known = energy(box.coordinates(q).flatten(0, 1), index).unflatten(0, (2, -1))
    chains._surrogate = Surrogate(q, known)
    chains._seen = [(q, known)]
    return chains


def phase(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bend", [0.0, 0.3])
def test_a_path_leads_back_when_the_momentum_is_turned(bend):
    chains = bent_chains(bend)
    q, p = phase(1), phase(2)
    step = torch.full((2, SHAPE[0]), 0.25).double()
    there, momentum, _ = chains._follow(q, p, step)
    back, turned, _ = chains._follow(there, -momentum, step)
    assert (there - q).abs().min() > 0.01
    torch.testing.assert_close(back, q)
    torch.testing.assert_close(turned, -p)


def test_a_normal_posterior_is_followed_exactly_over_any_distance(chains):
    chains.learn(1)
    q, p = phase(3), phase(4)
    new, momentum, _ = chains._follow(q, p, torch.full((2, SHAPE[0]), 0.2).double())
    angle = torch.tensor(8 * 0.2)
    before = chains._energies(q) + 0.5 * p.square().sum(2)
    after = chains._energies(new) + 0.5 * momentum.square().sum(2)
    torch.testing.assert_close(after, before, rtol=0, atol=0.02)
    expected = torch.cos(angle) * q + torch.sin(angle) * p
    torch.testing.assert_close(new, expected, rtol=0, atol=0.02)


def test_paths_become_as_short_as_the_surrogate_of_each_lens_needs(chains):
    far, exact = chains._posterior, chains._posterior.energy

    def rugged(u, index):
        return exact(u, index) + 3 * (index == 1) * torch.sin(4 * u[:, 0] / u[:, 0].std()).square()

    far.energy = rugged
    chains.learn(30)
    assert chains.reach[0] > 0.9
    assert chains.reach[1] < 0.7
    _, accepted = chains.draw(20)
    assert (accepted > 0.5).all()


def test_a_bent_posterior_is_crossed_once_the_surrogate_knows_it():
    chains = bent_chains(0.3)
    chains.learn(15)
    assert (chains.reach > 0.5).all()
    _, accepted = chains.draw(10)
    assert (accepted > 0.7).all()


def test_some_chains_go_on_as_they_would_have_among_all(chains):
    chains.learn(3)
    one = chains.take(torch.tensor([1]))
    assert one.reach.shape == (1,)
    torch.testing.assert_close(one._energies(one._q), chains._energies(chains._q)[1:])
    copied = copy.deepcopy(chains)
    one.learn(5)
    copied.learn(5)
    torch.testing.assert_close(one.draw(5)[0], copied.draw(5)[0][:, 1:])


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
    chains.learn(1)
    places, _ = chains.draw(20)
    assert places.abs().max() < 0.5


def test_random_numbers_of_a_lens_follow_from_the_seed_and_its_image():
    images, weight = torch.randn(3, 4, 4), torch.ones(3, 4, 4)
    all_of_them = Noise(5, images, weight, SHAPE).normal()
    one = Noise(5, images[1:2], weight[1:2], SHAPE).normal()
    torch.testing.assert_close(one[0], all_of_them[1], rtol=0, atol=0)
    assert (all_of_them[0] != all_of_them[1]).all()
    assert (Noise(6, images, weight, SHAPE).normal() != all_of_them).all()
    masked = weight.clone()
    masked[1, 0, 0] = 0
    assert (Noise(5, images, masked, SHAPE).normal()[1:2] != all_of_them[1]).all()
