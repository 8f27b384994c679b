"""Steps of many fits at once, on a problem without a scene: one with two minima."""

import pytest
import torch

from lensphys.fit_range import FitRange
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.optimiser import begin, descend, find_best, solve_free


class Valleys:
    """Objective ``(p^2 - 1)^2 + (p - tilt)^2 / 4 + (q - level)^2``: two minima in ``p``.

    Residuals are ``p^2 - 1``, ``(p - tilt) / 2`` and ``q - level``, one row an image.
    """

    def __init__(self, tilt, level, **settings):
        self.tilt, self.level = (torch.tensor(v, dtype=torch.float64) for v in (tilt, level))
        ranges = {name: FitRange(low=-3.0, high=3.0) for name in "pq"}
        self.bounds = Bounds(ranges, 1.0, torch.ones_like(self.tilt), {}, **settings)
        self.evaluations = 0

    def equations(self, z, index):
        self.evaluations += 1
        params, slope = self.bounds.forward(z, index)
        p, q = params.unbind(1)
        tilt, level = self.tilt[index], self.level[index]
        residual = torch.stack([p**2 - 1, (p - tilt) / 2, q - level], 1)
        zero = torch.zeros_like(p)
        rows = [2 * p, zero, zero + 0.5, zero, zero, zero + 1]
        jacobian = torch.stack(rows, 1).view(-1, 3, 2) * slope[:, None]
        normal = jacobian.mT @ jacobian
        gradient = -(jacobian.mT @ residual[..., None])[..., 0]
        return residual.square().sum(1), normal, gradient

    def shorten(self, z, step, index):
        return step.clamp(-2, 2)

    def params(self, state):
        return self.bounds.forward(state.z, state.index)[0]


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_each_fit_ends_in_the_best_minimum_that_one_of_its_starts_leads_to():
    problem = Valleys([0.5, -0.5], [0.2, 1.0])
    both = points([[-0.8, 0.0], [0.8, 0.0]], [[-0.8, 0.0], [0.8, 0.0]])
    found = find_best(problem, both, 50, 1e-12)
    params = problem.params(found)
    assert found.converged.all()
    assert params[:, 0].sign().tolist() == [1.0, -1.0]
    torch.testing.assert_close(params[:, 1], problem.level, rtol=0, atol=1e-6)
    left = problem.params(find_best(problem, both[:, :1], 50, 1e-12))
    assert left[:, 0].sign().tolist() == [-1.0, -1.0]


def test_some_of_the_images_are_fitted_by_their_index():
    problem = Valleys([0.5, -0.5, 0.5], [0.0, 1.0, 2.0])
    which = torch.tensor([2, 1])
    found = find_best(problem, points([[0.8, 0.0]], [[0.8, 0.0]]), 50, 1e-12, which)
    assert found.index.tolist() == [2, 1]
    assert problem.params(found)[:, 1].tolist() == pytest.approx([2.0, 1.0], abs=1e-6)


def test_no_step_leads_uphill_and_none_is_taken_after_convergence():
    problem = Valleys([0.5], [0.2])
    last = torch.inf
    for steps in range(12):
        found = find_best(problem, points([[-2.5, -2.5]]), steps, 1e-9)
        assert found.objective.item() <= last
        last = found.objective.item()
        assert found.steps.item() <= steps
    before = problem.evaluations
    again = find_best(problem, problem.params(found)[:, None], 50, 1e-9)
    assert again.steps.item() <= 1
    assert problem.evaluations - before <= 2


def test_no_steps_leave_the_starting_point():
    problem = Valleys([0.5], [0.2])
    found = find_best(problem, points([[0.3, -0.7]]), 0, 1e-9)
    torch.testing.assert_close(problem.params(found), points([0.3, -0.7]))
    assert not found.converged.item()


def test_fixed_parameters_stay_while_the_others_are_fitted():
    problem = Valleys([0.5], [0.2], fixed={"p": 0.1})
    found = find_best(problem, points([[0.3, -0.7]]), 50, 1e-12)
    assert found.converged.all()
    torch.testing.assert_close(problem.params(found), points([0.1, 0.2]), rtol=0, atol=1e-6)


def test_a_system_is_solved_for_the_parameters_that_may_change():
    matrix = points([[2.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]])
    may = torch.tensor([[True, False], [True, True]])
    found = solve_free(matrix, points([4.0, 9.0], [1.0, 2.0]), may)
    assert found.tolist() == [[2.0, 0.0], [0.0, 0.0]]


class Misfit(Valleys):
    """Objective ``p^2 + (7 - p^2 / 20)^2 + (q - level)^2``, whose last residual stays large.

    Its curvature along ``p`` is 0.3 of that of Gauss and Newton.
    """

    def equations(self, z, index):
        self.evaluations += 1
        params, slope = self.bounds.forward(z, index)
        p, q = params.unbind(1)
        residual = torch.stack([p, 7 - p**2 / 20, q - self.level[index]], 1)
        zero, one = torch.zeros_like(p), torch.ones_like(p)
        rows = [one, zero, -p / 10, zero, zero, one]
        jacobian = torch.stack(rows, 1).view(-1, 3, 2) * slope[:, None]
        gradient = -(jacobian.mT @ residual[..., None])[..., 0]
        return residual.square().sum(1), jacobian.mT @ jacobian, gradient


def test_curvature_that_gauss_and_newton_neglect_is_learnt():
    problem = Misfit([0.0, 0.0], [0.2, -1.0])
    start = points([[0.8, 0.0]], [[-0.6, 0.5]])
    state = find_best(problem, start, 9, 1e-14)
    # Steps of Gauss and Newton alone leave 0.7 of the distance each: 0.7^8 = 0.06 after as many.
    assert (problem.params(state)[:, 0].abs() < 1e-3).all()
    torch.testing.assert_close(problem.params(state)[:, 1], problem.level, rtol=0, atol=1e-4)


def test_a_step_uphill_is_followed_by_one_that_leads_down():
    class Wall(Valleys):
        """Valleys with a wall where ``p`` is above 0.1, of which the matrix knows nothing."""

        def equations(self, z, index):
            objective, normal, gradient = super().equations(z, index)
            p = self.bounds.forward(z, index)[0][:, 0]
            return objective + 1e3 * (p - 0.1).clamp_min(0).square(), normal, gradient

    problem = Wall([0.5], [0.2])
    index = torch.tensor([0])
    state = begin(problem, problem.bounds.inverse(points([0.0, 0.2]), index), index)
    first = state.objective.item()
    descend(problem, state, 1, 1e-12)
    assert state.objective.item() == first
    descend(problem, state, 1, 1e-12)
    assert state.objective.item() < first
