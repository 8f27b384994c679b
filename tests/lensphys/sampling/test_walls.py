"""Motion between walls: reversible, of constant energy, and exact for a truncated normal."""

import math

import pytest
import torch
from scipy import stats

from lensphys.sampling.walls import Box


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def box():
    """A skewed box in three dimensions, of which the first is wide and the last narrow."""
    transform = torch.eye(3).double() + 0.3 * normal(2, 3, 3, seed=1)
    low = torch.tensor([[-50.0, -0.5, -0.1]]).double().expand(2, 3)
    high = torch.tensor([[60.0, 0.4, 0.3]]).double().expand(2, 3)
    return Box(torch.zeros(2, 3).double(), transform, low, high)


def test_a_path_stays_inside_and_leads_back(box):
    q, p = torch.zeros(2, 40, 3).double(), normal(2, 40, 3, seed=2)
    q, p, _ = box.rotate(q, p, torch.full((2, 40), 0.3).double())
    angle = torch.full((2, 40), 2.0).double()
    there, momentum, left = box.rotate(q, p, angle)
    free = math.cos(2.0) * q + math.sin(2.0) * p
    assert ((there - free).abs().amax(2) > 0.01).double().mean() > 0.5
    u = box.centre[:, None] + there @ box.transform.mT
    assert ((u > box.low[:, None] - 1e-9) & (u < box.high[:, None] + 1e-9)).all()
    assert (left == 0).all()
    energy = (q.square() + p.square()).sum(2)
    torch.testing.assert_close((there.square() + momentum.square()).sum(2), energy)
    back, turned, _ = box.rotate(there, -momentum, angle)
    torch.testing.assert_close(back, q, rtol=0, atol=1e-7)
    torch.testing.assert_close(turned, -p, rtol=0, atol=1e-7)


def test_far_walls_are_not_felt():
    far = torch.full((1, 2), 1e6).double()
    box = Box(torch.zeros(1, 2).double(), torch.eye(2).double()[None], -far, far)
    q, p = normal(1, 5, 2, seed=3), normal(1, 5, 2, seed=4)
    place, momentum, _ = box.rotate(q, p, torch.full((1, 5), 1.1).double())
    torch.testing.assert_close(place, math.cos(1.1) * q + math.sin(1.1) * p)
    torch.testing.assert_close(momentum, math.cos(1.1) * p - math.sin(1.1) * q)


def test_new_momenta_draw_from_a_truncated_normal():
    low, high = torch.tensor([[0.5]]).double(), torch.tensor([[1.5]]).double()
    box = Box(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double(), low, high)
    q = torch.ones(1, 2000, 1).double()
    for seed in range(6):
        angle = torch.full((1, 2000), 1.5).double()
        q, _, _ = box.rotate(q, normal(1, 2000, 1, seed=seed), angle)
    assert stats.kstest(q.flatten().numpy(), stats.truncnorm(0.5, 1.5).cdf).pvalue > 0.01


def test_a_path_of_too_many_walls_is_cut_short():
    narrow = torch.full((1, 1), 1e-4).double()
    box = Box(torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double(), -narrow, narrow)
    _, _, left = box.rotate(torch.zeros(1, 1, 1).double(), torch.ones(1, 1, 1).double(), narrow + 1)
    assert 0 < left < 1


def test_coordinates_are_clamped_to_the_box(box):
    u = box.coordinates(100 * normal(2, 6, 3))
    assert ((u >= box.low[:, None]) & (u <= box.high[:, None])).all()
    one = box.take(torch.tensor([1]))
    torch.testing.assert_close(one.coordinates(u[1:]), box.coordinates(u)[1:])
