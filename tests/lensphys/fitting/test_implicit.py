"""Fits are differentiable with respect to images and noise."""

import math

import pytest
import torch

from lensphys import Fitter, fit
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like, nudged, stacked


def test_gradients_of_a_fit_with_fixed_parameters_are_finite():
    truth = draw(2, seed=33)
    images = image_of(truth).requires_grad_()
    result = fit(images, 0.02, fixed={"gamma1": truth["gamma1"]}, start=nudged(truth), **KIND)
    sum(result.params.values()).sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().amax((1, 2)).min() > 0


class Smooth:
    """Fits that are solved to rounding, from a start near the truth: functions of the images."""

    def __init__(self, e1=None, **settings):
        self.truth = draw(2, seed=11)
        if e1 is not None:
            self.truth["e1"][:] = e1
        clean = image_of(self.truth, (20, 22))
        self.sigma = 0.02 * clean.amax((1, 2))
        self.images = clean + self.sigma[:, None, None] * noise_like(clean, 12)
        self.settings = {**KIND, "max_steps": 100, "tolerance": 1e-15, **settings}

    def __call__(self, images, sigma):
        result = fit(images, sigma, start=self.truth, **self.settings)
        assert result.converged.all()
        return result


@pytest.fixture(scope="module")
def smooth():
    return Smooth()


def weights_like(tensor, seed=1):
    return torch.rand(tensor.shape, generator=torch.Generator().manual_seed(seed)).double() - 0.5


def scalar_of(result, what):
    """One number that depends on all of the parameters, each in units of its error."""
    if what == "params":
        terms = stacked(result.params) / stacked(result.errors).detach()
    else:
        terms = getattr(result, what)
    return (terms * weights_like(terms)).sum()


def central_difference(function, at, direction, step):
    return (function(at + step * direction) - function(at - step * direction)) / (2 * step)


@pytest.mark.parametrize("what", ["params", "model", "residual"])
def test_gradients_with_respect_to_the_images_are_those_of_the_whole_fit(what, smooth):
    images = smooth.images.clone().requires_grad_()
    reference = smooth(images, smooth.sigma)
    scale = stacked(reference.errors)

    def evaluate(at):
        result = smooth(at, smooth.sigma)
        if what != "params":
            return scalar_of(result, what)
        terms = stacked(result.params) / scale
        return (terms * weights_like(terms)).sum()

    (gradient,) = torch.autograd.grad(scalar_of(reference, what), images)
    for seed in (1, 2):
        direction = smooth.sigma[:, None, None] * noise_like(images, seed)
        expected = central_difference(evaluate, smooth.images, direction, 1e-3)
        assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("layout", ["number", "one an image", "map"])
def test_gradients_with_respect_to_sigma_are_those_of_the_whole_fit(layout, smooth):
    shape = {"number": (), "one an image": (2,), "map": (2, 20, 22)}[layout]
    sigma = 0.2 + 0.1 * weights_like(torch.empty(shape))
    direction = 0.1 * weights_like(torch.empty(shape), seed=2)
    scale = stacked(smooth(smooth.images, sigma).errors)

    def evaluate(at):
        result = smooth(smooth.images, at)
        terms = stacked(result.params) / scale
        return (terms * weights_like(terms)).sum() + 0.1 * (result.residual**2).sum()

    leaf = sigma.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(evaluate(leaf), leaf)
    expected = central_difference(evaluate, sigma, direction, 1e-4)
    assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-5)


def test_gradients_at_a_bound_are_those_of_the_whole_fit():
    low = 0.05
    smooth = Smooth(e1=0.0, bounds={"e1": (low, low + 0.3)})
    images = smooth.images.clone().requires_grad_()
    result = smooth(images, smooth.sigma)
    assert result.params["e1"].tolist() == pytest.approx([low] * 2, abs=1e-4)
    (gradient,) = torch.autograd.grad(
        result.params["source_R_sersic"].sum(), images, retain_graph=True
    )
    direction = smooth.sigma[:, None, None] * noise_like(images, 1)
    expected = central_difference(
        lambda at: smooth(at, smooth.sigma).params["source_R_sersic"].sum(),
        smooth.images,
        direction,
        1e-3,
    )
    assert (gradient * direction).sum().item() == pytest.approx(expected.item(), rel=1e-5)
    (own,) = torch.autograd.grad(result.params["e1"].sum(), images)
    assert not own.any()


def test_a_brighter_image_has_a_brighter_source_and_nothing_else(smooth):
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    result = smooth(factor * smooth.images, smooth.sigma)
    for name, value in result.params.items():
        (slope,) = torch.autograd.grad(value[0], factor, retain_graph=True)
        expected = value[0].item() if name == "source_amplitude" else 0.0
        assert slope.item() == pytest.approx(expected, abs=1e-6), name


def test_more_noise_everywhere_changes_no_parameter(smooth):
    sigma = smooth.sigma.clone().requires_grad_()
    result = smooth(smooth.images, sigma)
    (gradient,) = torch.autograd.grad(stacked(result.params).sum(), sigma)
    assert gradient.abs().max() < 1e-6


def test_images_have_no_influence_on_the_fits_of_others(smooth):
    images = smooth.images.clone().requires_grad_()
    result = smooth(images, smooth.sigma)
    (gradient,) = torch.autograd.grad(stacked(result.params)[0].sum(), images)
    assert gradient[0].abs().max() > 0
    assert not gradient[1].any()


def test_masked_pixels_have_no_gradient(smooth):
    sigma = smooth.sigma[:, None, None].expand(-1, 20, 22).clone()
    images = smooth.images.clone()
    sigma[:, 3], images[:, 3] = math.inf, math.nan
    images, sigma = images.requires_grad_(), sigma.requires_grad_()
    result = smooth(images, sigma)
    for gradient in torch.autograd.grad(stacked(result.params).sum(), (images, sigma)):
        assert torch.isfinite(gradient).all()
        assert not gradient[:, 3].any()
        assert gradient[:, 4].any()


def test_only_converged_fits_have_gradients(smooth):
    # The second image starts next to its best fit, the first one far from it.
    best = {k: v.detach() for k, v in smooth(smooth.images, smooth.sigma).params.items()}
    start = {k: torch.stack([v[0] * 1.1 + 0.02, v[1]]) for k, v in best.items()}
    images = smooth.images.clone().requires_grad_()
    result = fit(images, smooth.sigma, **KIND, start=start, max_steps=1)
    assert result.converged.tolist() == [False, True]
    (gradient,) = torch.autograd.grad(stacked(result.params).sum(), images)
    assert torch.isfinite(gradient).all()
    assert not gradient[0].any()
    assert gradient[1].any()


def test_a_network_in_front_of_a_fit_can_be_trained(sample, fitter):
    _, images, sigma, _, _ = sample
    network = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        network.weight.zero_()[..., 1, 1] = 1
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        result = fitter(network(images[:4, None])[:, 0], sigma[:4])
        # To see every lens a little larger than it is.
        loss = (result.params["theta_E"] - sample[0]["theta_E"][:4].float() - 0.01).square().sum()
        optimizer.zero_grad()
        loss.backward()
        assert torch.isfinite(network.weight.grad).all()
        optimizer.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]


def test_nothing_is_recorded_where_nothing_asks_for_gradients(sample, fitter):
    _, images, sigma, _, _ = sample
    wanting = images[:2].clone().requires_grad_()
    plain = fitter(images[:2], sigma[:2])
    with torch.no_grad():
        silent = fitter(wanting, sigma[:2])
    for result in (plain, silent):
        tensors = [*result.params.values(), *result.errors.values(), result.model, result.residual]
        assert not any(t.requires_grad for t in tensors)
    tracked = fitter(wanting, sigma[:2])
    assert tracked.params["theta_E"].requires_grad
    assert tracked.model.requires_grad
    assert not any(t.requires_grad for t in (*tracked.errors.values(), tracked.chi2_dof))
    for name in plain.names:
        assert torch.equal(plain.params[name], tracked.params[name].detach())


def test_what_a_fitter_keeps_from_inference_mode_serves_gradients_later(sample):
    _, images, sigma, _, _ = sample
    fitter = Fitter(**KIND, n_starts=1)
    with torch.inference_mode():
        fitter(images[:1], sigma[:1])
    wanting = images[:1].clone().requires_grad_()
    fitter(wanting, sigma[:1]).model.sum().backward()
    assert torch.isfinite(wanting.grad).all()
