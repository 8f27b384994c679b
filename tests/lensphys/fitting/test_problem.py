"""Objective of a fit: its derivatives, and the model to first order."""

import pytest
import torch

from lensphys import pixel_grid
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import SersicProblem
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels
from tests.lensphys.fitting.mocks import PIXEL, PSF, draw, image_of, noise_like, nudged, stacked

EVERY = torch.arange(2)


@pytest.fixture(
    scope="module", params=[("SIE", False), ("EPL", True)], ids=["dark", "all there is"]
)
def problem(request):
    """Two images, a prior and a fixed parameter; masked in one row."""
    mass, lens_light = request.param
    scene = LensScene(mass, lens_light=lens_light)
    x, y = pixel_grid((18, 16), PIXEL, dtype=torch.float64)
    pixels = Pixels(x, y, psf=PSF, integrate_cores=False)
    truth = draw(2, seed=51, scene=scene)
    images = image_of(truth, (18, 16), scene) + 0.5 * noise_like(torch.empty(2, 18, 16), 52)
    weight = torch.full_like(images, 2.0)
    weight[:, 3] = 0.0
    peak = images.amax((1, 2)) / PIXEL**2
    bounds = Bounds(scene.ranges, 0.96, peak, {}, {"gamma2": 0.02})
    priors = Priors.read({"e1": (0.1, 0.05)}, scene.names, peak)
    return SersicProblem(scene, pixels, bounds, priors, images, weight)


@pytest.fixture(scope="module")
def z(problem):
    near = nudged(draw(2, seed=51, scene=problem.scene))
    return problem.bounds.inverse(stacked(near), EVERY)


def test_the_gradient_is_minus_half_the_slope_of_the_objective(problem, z):
    leaf = z.clone().requires_grad_()
    params = problem.bounds.forward(leaf, EVERY)[0]
    model = problem.scene.image(problem.scene.named(params), problem.pixels)
    chi2 = ((problem.images - model) * problem.weight).square().sum((1, 2))
    objective = chi2 + ((params[:, problem.scene.names.index("e1")] - 0.1) / 0.05).square()
    (slope,) = torch.autograd.grad(objective.sum(), leaf)
    found, _, gradient = problem.equations(z, EVERY)
    torch.testing.assert_close(found, objective.detach())
    torch.testing.assert_close(gradient, -0.5 * slope, rtol=1e-8, atol=1e-8)
    own = problem.gradient(z, EVERY, problem.images, problem.weight)
    torch.testing.assert_close(own, -0.5 * slope, rtol=1e-8, atol=1e-8)
    assert not gradient[:, problem.scene.names.index("gamma2")].any()


def test_the_energy_is_half_the_objective(problem, z):
    objective, _, _ = problem.equations(z, EVERY)
    torch.testing.assert_close(problem.energy(z, EVERY), 0.5 * objective)
    torch.testing.assert_close(problem.energy(z[[1]], EVERY[[1]]), 0.5 * objective[[1]])


def test_the_equations_are_those_of_the_model_to_first_order(problem, z):
    near = problem.linearise(z, EVERY)
    objective, normal, gradient = problem.equations(z, EVERY)
    slope = problem.bounds.forward(z, EVERY)[1]
    jacobian = near.jacobian.flatten(2)
    assert not jacobian[:, problem.scene.names.index("gamma2")].any()
    fisher = jacobian @ jacobian.mT + near.precision
    torch.testing.assert_close(normal, fisher * slope[:, :, None] * slope[:, None])
    chi2 = near.residual.square().sum((1, 2))
    e1 = stacked(nudged(draw(2, seed=51, scene=problem.scene)))[:, problem.scene.names.index("e1")]
    torch.testing.assert_close(objective, chi2 + ((e1 - 0.1) / 0.05) ** 2)
    pull = (jacobian @ near.residual.flatten(1)[..., None])[..., 0]
    pull[:, problem.scene.names.index("e1")] += (0.1 - e1) / 0.05**2
    torch.testing.assert_close(gradient, slope * pull)
    assert (near.residual[:, 3] == 0).all()


def test_light_that_is_deflected_more_changes_by_minus_the_slope(problem, z):
    named = problem.scene.named(problem.bounds.forward(z, EVERY)[0])
    source, pixels = problem.scene.source(named), problem.pixels
    beta_x, beta_y = problem.scene.lens(named).ray_trace(pixels.x, pixels.y)
    d_x, d_y = 1e-6 * torch.cos(pixels.x), 1e-6 * torch.sin(pixels.y)
    ahead = source.surface_brightness(beta_x - d_x, beta_y - d_y)
    behind = source.surface_brightness(beta_x + d_x, beta_y + d_y)
    slopes = problem.linearise(z, EVERY).slopes
    expected = -(slopes[:, 0] * d_x + slopes[:, 1] * d_y)
    scale = expected.abs().max().item()
    torch.testing.assert_close((ahead - behind) / 2, expected, rtol=1e-5, atol=1e-5 * scale)


def test_no_step_goes_further_than_the_equations_hold(problem, z):
    step = problem.shorten(z, torch.full_like(z, -9.0), EVERY)
    assert (step == -2).all()
