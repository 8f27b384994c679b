"""Fits of Sersic profiles: masses with more freedom, errors of the model, a PSF for each image."""

import numpy as np
import pytest
import torch

from lensphys import PixelPSF, fit
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import (
    KIND,
    PIXEL,
    draw,
    image_of,
    noise_like,
    nudged,
    stacked,
)


def observe(truth, scene, seed, snr=30, **optics):
    """Noisy images, their noise, and the chi^2 of the truth."""
    clean = image_of(truth, scene=scene, **optics)
    sigma = clean.amax((1, 2)) / snr
    noise = noise_like(clean, seed)
    return clean + sigma[:, None, None] * noise, sigma, noise.square().sum((1, 2))


@pytest.mark.parametrize("retry_above", [None, torch.inf])
def test_a_power_law_never_ends_above_the_isothermal_lens_that_it_contains(retry_above):
    # Two sources, which one cannot describe; lenses among which this went wrong.
    truth, second = draw(32, seed=101), draw(32, seed=201)
    second = {k: second[k] if k.startswith("source_") else v for k, v in truth.items()}
    second["source_R_sersic"] = 0.5 * second["source_R_sersic"]
    clean = image_of(truth) + image_of(second)
    sigma = clean.amax((1, 2)) / 60
    images = clean + sigma[:, None, None] * noise_like(clean, 102)
    rows = torch.tensor([4, 19, 24, 25, 26])
    chi2 = {}
    for mass in ("SIE", "EPL"):
        result = fit(images[rows], sigma[rows], mass=mass, **KIND, retry_above=retry_above)
        chi2[mass] = result.residual.square().sum((1, 2))
    assert (chi2["EPL"] <= chi2["SIE"] + 0.1).all()


def test_power_laws_of_all_slopes_are_found():
    scene = LensScene("EPL")
    truth = draw(24, seed=103, scene=scene)
    truth["gamma"] = torch.linspace(1.6, 2.4, 24).double()
    images, sigma, floor = observe(truth, scene, 104)
    result = fit(images, sigma, mass="EPL", **KIND)
    assert (result.residual.square().sum((1, 2)) < 1.02 * floor).double().mean() > 0.9
    off = (result.params["gamma"] - truth["gamma"]) / result.errors["gamma"]
    assert off.abs().median() < 1.2


def test_the_error_of_the_model_adds_to_the_noise():
    truth = draw(3, seed=105)
    images, sigma, _ = observe(truth, LensScene(), 106)
    result = fit(images, sigma, **KIND, model_error=0.1)
    noise = torch.sqrt(sigma[:, None, None] ** 2 + (0.1 * result.model) ** 2)
    torch.testing.assert_close(result.problem.weight, 1 / noise, rtol=0.02, atol=0)
    used = (images - result.model) * result.problem.weight
    torch.testing.assert_close(result.residual, used)
    torch.testing.assert_close(result.chi2_dof, used.square().sum((1, 2)) / (32 * 32 - 14))
    assert result.converged.all()
    plain = fit(images, sigma, **KIND)
    # Brighter pixels count for less.
    assert (result.errors["theta_E"] > 1.15 * plain.errors["theta_E"]).all()
    off = (result.params["theta_E"] - truth["theta_E"]) / result.errors["theta_E"]
    assert off.abs().max() < 4


def test_the_errors_of_the_light_and_of_the_source_are_apart():
    scene = LensScene(lens_light=True)
    truth = draw(1, seed=107, scene=scene)
    images, sigma, _ = observe(truth, scene, 108)
    result = fit(
        images, sigma, **KIND, lens_light=True, start=nudged(truth), model_error=(0.1, 0.02)
    )
    parts = result.parts()
    extra = (0.1 * parts["lens_light"]) ** 2 + (0.02 * parts["source"]) ** 2
    noise = torch.sqrt(sigma[:, None, None] ** 2 + extra)
    torch.testing.assert_close(result.problem.weight, 1 / noise, rtol=0.02, atol=0)


def test_a_core_whose_psf_is_wrong_is_explained_with_an_error_of_the_model():
    scene = LensScene(lens_light=True)
    truth = draw(2, seed=109, scene=scene)
    truth["lens_light_amplitude"] *= 20
    images, sigma, _ = observe(truth, scene, 110, snr=300, psf=kernel(0.9))
    given = {"pixel_scale": PIXEL, "psf": kernel(1.0), "lens_light": True, "start": truth}
    exact, rough = (fit(images, sigma, model_error=e, **given).chi2_dof for e in (0.0, 0.05))
    assert (exact > 1.1).all()
    assert (rough < 0.5 * exact + 0.5).all()


def test_gradients_take_the_error_of_the_model_for_a_constant():
    truth = draw(1, seed=105)
    images, sigma, _ = observe(truth, LensScene(), 106)
    leaf, noise = images.clone().requires_grad_(), sigma.clone().requires_grad_()
    result = fit(leaf, noise, **KIND, start=truth, model_error=0.1, tolerance=1e-12)
    gradients = torch.autograd.grad(result.params["theta_E"].sum(), (leaf, noise))
    assert all(torch.isfinite(g).all() and g.any() for g in gradients)
    # The same fit with the noise given.
    total = (1 / result.problem.weight).detach()
    again = images.clone().requires_grad_()
    fixed = fit(again, total, **KIND, start=result.params, tolerance=1e-12)
    (expected,) = torch.autograd.grad(fixed.params["theta_E"].sum(), again)
    torch.testing.assert_close(gradients[0], expected, rtol=1e-3, atol=1e-6)


def kernel(width):
    offset = torch.arange(-4, 5).double()
    weights = torch.exp(-0.5 * (offset[:, None] ** 2 + offset**2) / width**2)
    return PixelPSF(weights, PIXEL, normalise=True)


def test_every_image_may_have_a_psf_of_its_own():
    truth = draw(3, seed=111)
    widths = (0.6, 1.0, 1.6)
    parts = [
        observe({k: v[[i]] for k, v in truth.items()}, LensScene(), 112 + i, psf=kernel(width))
        for i, width in enumerate(widths)
    ]
    images, sigma = (torch.cat([part[k] for part in parts]) for k in (0, 1))
    kernels = np.stack([np.asarray(kernel(width).kernel) for width in widths])
    settings = {"pixel_scale": PIXEL, "tolerance": 1e-8}
    for start in (None, truth):
        together = fit(images, sigma, psf=kernels, start=start, **settings)
        assert together.converged.all()
        assert (together.chi2_dof < 1.15).all()
        for i, width in enumerate(widths):
            begin = {k: v[[i]] for k, v in together.params.items()}
            alone = fit(images[i], sigma[i], psf=kernel(width), start=begin, **settings)
            one = {k: v[[i]] for k, v in together.params.items()}
            torch.testing.assert_close(stacked(alone.params), stacked(one), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(alone.model[0], together.model[i], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(alone.evidence[0], together.evidence[i])
