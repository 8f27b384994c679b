"""Posterior density in unbounded coordinates: derivatives, mode and width."""

import torch

from lensphys.fit_range import FitRange
from lensphys.sampling.posterior import Posterior
from tests.lensphys.sampling.toys import NormalToy, correlated, wide

MIXED = {
    "a": FitRange(low=0.0, high=2.0, start=1.0),
    "b": FitRange(low=0.1, high=10.0, start=1.0, log=True),
    "c": FitRange(low=-1.0, high=1.0),
}


def toy(**more):
    mean = torch.tensor([[0.5, 2.0, 0.1], [1.9, 0.2, -0.8]]).double()
    return NormalToy(MIXED, mean, 3 * correlated(3, seed=1), **more)


def test_the_force_is_the_gradient_of_the_energy():
    posterior = Posterior(toy())
    z = torch.tensor([[0.3, -1.0, 0.5], [-2.0, 1.5, 3.0]]).double().requires_grad_()
    index = torch.arange(2)
    (gradient,) = torch.autograd.grad(posterior.energy(z, index).sum(), z)
    torch.testing.assert_close(posterior.force(z.detach(), index), -gradient)


def test_fixed_parameters_take_no_part():
    posterior = Posterior(toy(fixed={"b": 2.0}))
    z = torch.zeros(2, 3).double()
    assert posterior.free.tolist() == [0, 2]
    assert posterior.force(z, torch.arange(2)).shape == (2, 2)
    moved = z + torch.tensor([0.0, 5.0, 0.0])
    index = torch.arange(2)
    torch.testing.assert_close(posterior.energy(z, index), posterior.energy(moved, index))


def test_the_curvature_at_the_mode_is_that_of_the_energy():
    # Whether the likelihood or the bounds decide where the mode is.
    mean = torch.tensor([[0.5, 2.0, 0.1], [5.0, 0.2, -0.8], [0.5, -3.0, 9.0]]).double()
    problem = NormalToy(MIXED, mean, torch.diag(torch.tensor([400.0, 100.0, 9.0]).double()))
    posterior = Posterior(problem)
    mode, transform = posterior.find_mode(torch.zeros(3, 3).double())
    index = torch.arange(3)
    assert (posterior.force(mode, index) * transform.diagonal(dim1=1, dim2=2)).abs().max() < 0.1
    for k in range(3):
        hessian = torch.autograd.functional.hessian(
            lambda z, k=k: posterior.energy(z[None], index[k : k + 1]).sum(), mode[k]
        )
        whitened = transform[k].mT @ hessian @ transform[k]
        torch.testing.assert_close(whitened, torch.eye(3).double(), rtol=0, atol=0.3)


def test_the_mode_of_a_normal_likelihood_is_its_mean():
    problem = NormalToy(wide(4), torch.randn(5, 4).double(), correlated(4, seed=2))
    posterior = Posterior(problem)
    start = problem.bounds.inverse(problem.mean + 30.0, torch.arange(5))
    mode, transform = posterior.find_mode(start)
    params, slope = problem.bounds.forward(mode, torch.arange(5))
    assert (params - problem.mean).abs().max() < 0.1
    covariance = (transform @ transform.mT) * slope[:, :, None] * slope[:, None]
    expected = torch.linalg.inv(problem.precision)
    torch.testing.assert_close(covariance, expected, rtol=1e-3, atol=1e-3)


def test_an_unknown_parameter_has_the_width_of_its_bounds():
    problem = NormalToy(MIXED, torch.zeros(1, 3).double(), torch.zeros(3, 3).double())
    posterior = Posterior(problem)
    mode, transform = posterior.find_mode(torch.ones(1, 3).double())
    assert mode[0, 0].abs() < 0.1
    # The logistic distribution has a curvature of 1/2 at its mode.
    torch.testing.assert_close(
        transform[0, 0, 0], torch.tensor(2.0).double().sqrt(), rtol=0.01, atol=0
    )


def test_an_energy_without_a_value_is_infinite():
    problem = toy()
    problem.mean = torch.full_like(problem.mean, torch.nan)
    posterior = Posterior(problem)
    z, index = torch.zeros(2, 3).double(), torch.arange(2)
    assert torch.isinf(posterior.energy(z, index)).all()
    assert torch.isfinite(posterior.force(z, index)).all()
    mode, transform = posterior.find_mode(z)
    assert torch.isfinite(mode).all()
    assert torch.isfinite(transform).all()
