"""Posterior density inside the bounds: derivatives, coordinates and width."""

import torch

from lensphys.fit_range import FitRange
from lensphys.sampling.posterior import Posterior
from tests.lensphys.sampling.toys import NormalToy, correlated, wide

MIXED = {
    "a": FitRange(low=0.0, high=2.0, start=1.0),
    "b": FitRange(low=0.1, high=10.0, start=1.0, log=True),
    "c": FitRange(low=-1.0, high=1.0),
}
PARAMS = torch.tensor([[0.4, 1.5, 0.2], [1.8, 0.3, -0.7]]).double()
INDEX = torch.arange(2)


def toy(**more):
    mean = torch.tensor([[0.5, 2.0, 0.1], [1.9, 0.2, -0.8]]).double()
    return NormalToy(MIXED, mean, 3 * correlated(3, seed=1), **more)


def test_coordinates_are_the_parameters_or_their_logarithms():
    posterior = Posterior(toy())
    u = posterior.locate(PARAMS)
    torch.testing.assert_close(u[:, 0], PARAMS[:, 0])
    torch.testing.assert_close(u[:, 1], PARAMS[:, 1].log())
    torch.testing.assert_close(posterior.parameters(u, INDEX), PARAMS)
    outside = posterior.locate(PARAMS + torch.tensor([5.0, 50.0, -9.0]))
    torch.testing.assert_close(
        posterior.parameters(outside, INDEX),
        torch.tensor([[2.0, 10.0, -1.0]]).double().expand(2, 3),
        rtol=1e-5,
        atol=0,
    )


def test_the_prior_is_flat_in_the_parameters():
    problem = NormalToy(MIXED, PARAMS, torch.zeros(3, 3).double())
    posterior = Posterior(problem)
    u = posterior.locate(PARAMS)
    # Only the Jacobian of the logarithm is left.
    torch.testing.assert_close(posterior.energy(u, INDEX), -PARAMS[:, 1].log())


def test_the_energy_is_that_of_the_likelihood():
    problem = toy()
    posterior = Posterior(problem)
    off = PARAMS - problem.mean
    chi2 = (off * (problem.precision @ off[..., None])[..., 0]).sum(1)
    energy = posterior.energy(posterior.locate(PARAMS), INDEX)
    torch.testing.assert_close(energy, 0.5 * chi2 - PARAMS[:, 1].log())


def test_the_force_is_the_gradient_of_the_energy():
    posterior = Posterior(toy())
    u = posterior.locate(PARAMS).requires_grad_()
    (gradient,) = torch.autograd.grad(posterior.energy(u, INDEX).sum(), u)
    torch.testing.assert_close(posterior.force(u.detach(), INDEX), -gradient)


def test_fixed_parameters_take_no_part():
    posterior = Posterior(toy(fixed={"b": 2.0}))
    assert posterior.free.tolist() == [0, 2]
    u = posterior.locate(PARAMS)
    assert u.shape == posterior.force(u, INDEX).shape == (2, 2)
    params = posterior.parameters(u, INDEX)
    torch.testing.assert_close(params[:, [0, 2]], PARAMS[:, [0, 2]])
    assert (params[:, 1] == 2).all()


def test_the_width_of_a_normal_likelihood_is_its_covariance():
    problem = NormalToy(wide(4), torch.randn(5, 4).double(), correlated(4, seed=2))
    width = Posterior(problem).find_width(problem.mean)
    torch.testing.assert_close(
        width @ width.mT, torch.linalg.inv(problem.precision), rtol=1e-2, atol=1e-2
    )


def test_an_unknown_parameter_has_the_width_of_its_bounds():
    problem = NormalToy(MIXED, PARAMS, torch.diag(torch.tensor([0.0, 0.0, 1e4]).double()))
    posterior = Posterior(problem)
    width = posterior.find_width(posterior.locate(PARAMS))
    deviation = (width @ width.mT).diagonal(dim1=1, dim2=2).sqrt()
    expected = torch.tensor([2 / 12**0.5, 4.60517 / 12**0.5, 0.01]).double().expand(2, 3)
    torch.testing.assert_close(deviation, expected, rtol=1e-3, atol=0)


def test_at_the_ends_of_the_box_there_are_numbers():
    for dtype in (torch.float32, torch.float64):
        problem = toy()
        problem.images = problem.images.to(dtype)
        posterior = Posterior(problem)
        for u in (posterior.low, posterior.high):
            near = u + 1e-6 * (posterior.high + posterior.low - 2 * u)
            torch.testing.assert_close(
                posterior.energy(u, INDEX), posterior.energy(near, INDEX), rtol=1e-3, atol=1e-3
            )
            torch.testing.assert_close(
                posterior.force(u, INDEX), posterior.force(near, INDEX), rtol=1e-3, atol=1e-3
            )


def test_an_energy_without_a_value_is_infinite():
    problem = toy()
    problem.mean = torch.full_like(problem.mean, torch.nan)
    posterior = Posterior(problem)
    u = posterior.locate(PARAMS)
    assert torch.isinf(posterior.energy(u, INDEX)).all()
    assert torch.isfinite(posterior.force(u, INDEX)).all()
    assert torch.isfinite(posterior.find_width(u)).all()
