"""Fits of lenses: recovery, errors, convergence and gradients."""

import math

import pytest
import torch

from lensphys import Fitter, GaussianPSF, fit, pixel_grid, render
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.problem import _CHUNK
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import (
    KIND,
    PIXEL,
    PSF,
    deviation,
    draw,
    image_of,
    noise_like,
    nudged,
    stacked,
)


@pytest.mark.parametrize("mass", ["SIE", "EPL"])
@pytest.mark.parametrize("size", [33, 37])
def test_a_ray_through_the_centre_of_the_first_guess_does_not_hold_the_lens_there(mass, size):
    scene = LensScene(mass)
    clean = image_of(draw(32, seed=5, scene=scene), (size, size), scene)
    sigma = clean.amax((1, 2)) / 30
    noise = noise_like(clean, 6)
    images = (clean + sigma[:, None, None] * noise).float()
    result = fit(images, sigma.float(), **KIND, mass=mass)
    dof = size**2 - len(scene.names)
    at_the_floor = result.chi2_dof * dof < 1.02 * noise.square().sum((1, 2))
    assert at_the_floor.float().mean() > 0.95
    assert (result.params["center_x"] != 0).all()
    assert result.converged.float().mean() > 0.9
    assert result.steps.median() < 5


def test_a_cold_fit_of_noise_free_images_finds_the_truth():
    truth = draw(4, seed=1)
    result = fit(image_of(truth), 0.01, **KIND, tolerance=1e-12)
    assert result.converged.all()
    assert deviation(result, truth).max() < 1e-6
    assert result.chi2_dof.max() < 1e-12


@pytest.mark.parametrize(
    ("mass", "lens_light", "shape", "supersampling", "psf"),
    [
        ("SIE", False, (32, 32), 1, None),
        ("EPL", False, (32, 32), 1, PSF),
        ("SIE", True, (32, 32), 1, PSF),
        ("EPL", True, (26, 34), 2, PSF),
        ("SIE", False, (34, 26), 2, GaussianPSF(0.12, PIXEL / 2)),
    ],
    ids=["sharp", "EPL", "lens light", "all there is", "PSF of sub-pixels"],
)
def test_a_warm_fit_of_noise_free_images_finds_the_truth(
    mass, lens_light, shape, supersampling, psf
):
    scene = LensScene(mass, lens_light=lens_light)
    truth = draw(2, seed=2, scene=scene)
    images = image_of(truth, shape, scene, supersampling, psf)
    result = fit(
        images,
        0.01,
        pixel_scale=PIXEL,
        psf=psf,
        mass=mass,
        lens_light=lens_light,
        supersampling=supersampling,
        start=nudged(truth),
        tolerance=1e-12,
    )
    assert result.names == scene.names
    assert result.converged.all()
    assert deviation(result, truth).max() < 1e-6
    torch.testing.assert_close(result.model, images, rtol=1e-7, atol=1e-7)


def test_a_cold_fit_of_a_power_law_with_lens_light_finds_the_truth():
    scene = LensScene("EPL", lens_light=True)
    truth = draw(3, seed=3, scene=scene)
    images = image_of(truth, (28, 28), scene)
    result = fit(images, 0.02, **KIND, mass="EPL", lens_light=True, tolerance=1e-12)
    assert deviation(result, truth).max() < 1e-6


def test_a_start_at_the_truth_stays_there():
    truth = draw(2, seed=4)
    result = fit(image_of(truth), 0.01, **KIND, start=truth, max_steps=1)
    assert result.converged.all()
    assert deviation(result, truth).max() < 1e-12


def test_a_fit_goes_on_from_an_earlier_one(sample):
    _, images, sigma, _, found = sample
    again = fit(images[:8], sigma[:8], **KIND, start={k: v[:8] for k, v in found.params.items()})
    assert again.converged.all()
    assert (again.steps <= 3).all()
    for name in again.names:
        change = (again.params[name] - found.params[name][:8]).abs()
        assert (change < 0.2 * again.errors[name]).all(), name


def test_the_result_describes_itself(sample):
    _, images, sigma, _, result = sample
    assert result.model.shape == result.residual.shape == images.shape
    chi2 = result.residual.double().square().sum((1, 2))
    torch.testing.assert_close(chi2 / (32 * 32 - 14), result.chi2_dof.double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(result.residual, (images - result.model) / sigma[:, None, None])
    x, y = pixel_grid(32, PIXEL)
    again = render(result.lens, result.source, x, y, psf=PSF)
    torch.testing.assert_close(again, result.model, rtol=1e-5, atol=1e-6)
    assert result.lens_light is None


def test_the_light_of_the_lens_is_part_of_the_result():
    scene = LensScene(lens_light=True)
    truth = draw(1, seed=2, scene=scene)
    result = fit(image_of(truth, scene=scene), 0.01, **KIND, lens_light=True, start=truth)
    x, y = pixel_grid(32, PIXEL, dtype=torch.float64)
    parts = {"psf": PSF, "lens_light": result.lens_light}
    again = render(result.lens, result.source, x, y, **parts)
    torch.testing.assert_close(again, result.model, rtol=1e-12, atol=1e-12)


def test_float32_and_float64_agree(sample, wide_fitter):
    _, images, sigma, _, narrow = sample
    wide = wide_fitter(images[:12].double(), sigma[:12].double())
    for name in wide.names:
        assert wide.params[name].dtype == torch.float64
        assert narrow.params[name].dtype == torch.float32
        off = (wide.params[name] - narrow.params[name][:12]).abs()
        assert (off < 0.1 * wide.errors[name]).all(), name
        torch.testing.assert_close(
            narrow.errors[name][:12].double(), wide.errors[name], rtol=0.05, atol=0
        )


@pytest.mark.parametrize("chunk", [1, 3])
def test_an_image_is_fitted_alike_alone_and_among_others(chunk, sample, monkeypatch, wide_fitter):
    _, images, sigma, _, _ = sample
    images, sigma = images[:5].double(), sigma[:5].double()
    together = wide_fitter(images, sigma)
    monkeypatch.setitem(_CHUNK, "cpu", chunk)
    apart = wide_fitter(images, sigma)
    alone = wide_fitter(images[3], sigma[3])
    for name in together.names:
        torch.testing.assert_close(apart.params[name], together.params[name], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(
            alone.params[name], together.params[name][3:4], rtol=1e-8, atol=1e-8
        )
        torch.testing.assert_close(apart.errors[name], together.errors[name], rtol=1e-6, atol=0)
    assert torch.equal(alone.converged, together.converged[3:4])


def test_one_image_is_a_batch_of_one(sample, fitter):
    _, images, sigma, _, _ = sample
    single, batch = fitter(images[0], sigma[0]), fitter(images[:1], sigma[:1])
    assert single.model.shape == (1, 32, 32)
    assert single.covariance.shape == (1, 14, 14)
    for name in single.names:
        assert torch.equal(single.params[name], batch.params[name])


def test_sigma_may_be_a_number_one_an_image_or_a_map(sample, fitter):
    _, images, sigma, _, _ = sample
    images, sigma = images[:2] / (2 * sigma[:2, None, None]), 0.5
    expected = stacked(fitter(images, sigma).params)
    for other in (
        torch.tensor(sigma),
        torch.full((1,), sigma),
        torch.full((2,), sigma),
        torch.full((32, 32), sigma),
        torch.full((1, 32, 32), sigma),
        torch.full((2, 32, 32), sigma),
    ):
        assert torch.equal(stacked(fitter(images, other).params), expected), tuple(other.shape)


def test_what_a_masked_pixel_holds_is_of_no_account(sample, fitter):
    _, images, sigma, _, _ = sample
    sigma = sigma[:3, None, None].expand(-1, 32, 32).clone()
    hidden = torch.zeros(3, 32, 32, dtype=torch.bool)
    hidden[0, 5:9, 10:20] = hidden[2, 16, 16] = True
    sigma[hidden] = math.inf
    results = []
    for content in (0.0, 1e6, math.nan, -math.inf):
        changed = images[:3].clone()
        changed[hidden] = content
        results.append(fitter(changed, sigma))
    first = results[0]
    assert (first.residual[hidden] == 0).all()
    assert first.converged.all()
    for other in results[1:]:
        assert torch.equal(stacked(other.params), stacked(first.params))
        assert torch.equal(other.residual, first.residual)
    # As if the noise were very large there, and one pixel less of data each.
    loud = fitter(images[:3], torch.where(hidden, 5e3 * sample[2][:3, None, None], sigma))
    torch.testing.assert_close(stacked(loud.params), stacked(first.params), rtol=1e-3, atol=1e-4)
    degrees = (32 * 32 - hidden.sum((1, 2)) - 14) / (32 * 32 - 14)
    torch.testing.assert_close(loud.chi2_dof, first.chi2_dof * degrees, rtol=1e-5, atol=0)


@pytest.mark.parametrize("unit", [1e-15, 1e-6, 1e9])
def test_the_unit_of_flux_is_of_no_account(unit, sample, fitter):
    _, images, sigma, _, _ = sample
    expected, scaled = fitter(images[:3], sigma[:3]), fitter(unit * images[:3], unit * sigma[:3])
    assert scaled.converged.all()
    for name in scaled.names:
        factor = unit if name.endswith("amplitude") else 1.0
        off = (scaled.params[name] / factor - expected.params[name]).abs()
        assert (off < 0.1 * expected.errors[name]).all(), name


def test_a_fitter_serves_images_of_every_shape(sample, fitter):
    _, images, sigma, _, _ = sample
    for shape in ((32, 32), (32, 28), (32, 32)):
        top, left = (32 - shape[0]) // 2, (32 - shape[1]) // 2
        cut = images[:4, top : top + shape[0], left : left + shape[1]]
        result = fitter(cut, sigma[:4])
        assert result.model.shape == cut.shape
        assert (result.chi2_dof < 1.2).all()


def test_a_fit_leaves_its_input_as_it_was(sample, fitter):
    _, images, sigma, _, _ = sample
    images, sigma = images[:2].clone(), sigma[:2].clone()
    before = images.clone(), sigma.clone()
    fitter(images, sigma)
    assert torch.equal(images, before[0])
    assert torch.equal(sigma, before[1])


def test_a_fit_stays_within_given_bounds_and_converges_there():
    truth = draw(2, seed=1)
    truth["theta_E"][:], truth["source_n_sersic"][:] = 1.0, 1.3
    images = image_of(truth) + 0.1 * noise_like(torch.empty(2, 32, 32), 3)
    ranges = {"theta_E": (0.8, 0.99), "source_n_sersic": (0.5, 1.2)}
    result = fit(images, 0.1, **KIND, bounds=ranges, start=truth)
    assert result.converged.all()
    for name, (low, high) in ranges.items():
        assert (result.params[name] > low).all()
        assert (result.params[name] < high).all()
    assert result.params["theta_E"].tolist() == pytest.approx([0.99, 0.99], abs=1e-3)
    assert all(torch.isfinite(error).all() for error in result.errors.values())


def test_a_parameter_held_at_its_bound_leaves_the_others_their_best_fit():
    truth = draw(1, seed=1)
    images = image_of(truth) + 0.02 * noise_like(torch.empty(1, 32, 32), 3)
    e1 = truth["e1"].item()
    settings = {**KIND, "start": truth, "tolerance": 1e-10}
    held = fit(images, 0.02, **settings, bounds={"e1": (e1 + 0.03, e1 + 0.2)})
    at = held.params["e1"].item()
    pinched = fit(images, 0.02, **settings, bounds={"e1": (at - 1e-9, at + 1e-9)})
    assert at == pytest.approx(e1 + 0.03, abs=1e-4)
    assert held.converged.all()
    for name in held.names:
        torch.testing.assert_close(held.params[name], pinched.params[name], rtol=0, atol=1e-5)


def test_fixed_parameters_are_not_fitted_and_leave_the_others_their_best_fit():
    truth = draw(3, seed=31)
    images = image_of(truth)
    noisy = images + 0.02 * noise_like(images, 32)
    fixed = {"source_n_sersic": truth["source_n_sersic"], "gamma1": 0.03}
    narrow = {"gamma1": (0.03 - 1e-7, 0.03 + 1e-7)}
    settings = {**KIND, "start": nudged(truth), "tolerance": 1e-10}
    result = fit(noisy, 0.02, fixed=fixed, **settings)
    pinched = fit(
        noisy, 0.02, fixed={"source_n_sersic": truth["source_n_sersic"]}, bounds=narrow, **settings
    )
    free = fit(noisy, 0.02, **settings)

    assert result.converged.all()
    for name, value in fixed.items():
        torch.testing.assert_close(result.params[name], torch.as_tensor(value).double().expand(3))
        assert not result.errors[name].any()
    for name in result.names:
        torch.testing.assert_close(result.params[name], pinched.params[name], rtol=1e-4, atol=1e-5)
        if name not in fixed:
            assert (result.errors[name] > 0).all()
            assert (result.errors[name] <= free.errors[name] * 1.05).all()
    dof = 32 * 32 - len(result.names) + len(fixed)
    torch.testing.assert_close(result.chi2_dof, result.residual.square().sum((1, 2)) / dof)


def test_no_fit_leaves_the_default_ranges():
    images = noise_like(torch.empty(6, 24, 24), 4)
    result = fit(images, 1.0, **KIND, start={"source_center_x": 0.3})
    params = stacked(result.params)
    peak = images.amax((1, 2)) / PIXEL**2
    limits = Bounds(result.scene.ranges, 12 * PIXEL, peak, {})
    assert (params > limits.low).all()
    assert (params < limits.high).all()


def test_a_fit_that_has_no_time_has_not_converged(sample):
    truth, images, sigma, _, _ = sample
    start = nudged({k: v[:4].float() for k, v in truth.items()}, 0.1)
    hasty = fit(images[:4], sigma[:4], **KIND, start=start, max_steps=1)
    assert not hasty.converged.any()
    patient = fit(images[:4], sigma[:4], **KIND, start=start)
    assert patient.converged.all()
    assert (patient.steps > 2).all()
    assert (patient.chi2_dof < hasty.chi2_dof).all()


def test_a_converged_fit_cannot_be_improved_by_a_step(sample):
    _, images, sigma, _, result = sample
    params = {k: v[:8].double() for k, v in result.params.items()}
    closer = fit(images[:8].double(), sigma[:8].double(), **KIND, start=params, tolerance=1e-10)
    gain = (result.chi2_dof[:8] - closer.chi2_dof) * (32 * 32 - 14)
    assert (gain[result.converged[:8]] < 0.05).all()


NOTHING = {
    "noise": noise_like(torch.empty(3, 24, 24), 1),
    "blank": torch.zeros(2, 24, 24, dtype=torch.float64),
    "negative": torch.full((1, 24, 24), -1.0, dtype=torch.float64),
    "uniform": torch.ones(1, 24, 24, dtype=torch.float64),
    "one pixel": torch.zeros(1, 24, 24, dtype=torch.float64).index_fill(1, torch.tensor([7]), 1e3),
}


@pytest.fixture(scope="module")
def hasty_fitter():
    return Fitter(**KIND, lens_light=True, n_starts=1, max_steps=15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("images", NOTHING.values(), ids=NOTHING)
def test_an_image_without_a_lens_gives_numbers_all_the_same(images, dtype, hasty_fitter):
    images = images.to(dtype).requires_grad_()
    result = hasty_fitter(images, 1.0)
    assert torch.isfinite(stacked(result.params)).all()
    assert torch.isfinite(result.model).all()
    assert torch.isfinite(result.chi2_dof).all()
    assert not torch.isnan(result.covariance).any()
    assert (stacked(result.errors) > 0).all()
    (gradient,) = torch.autograd.grad(stacked(result.params).sum(), images)
    assert torch.isfinite(gradient).all()


def test_templates_follow_a_psf_whose_width_changes():
    x, y = pixel_grid((16, 18), 0.1)
    image = torch.exp(-(x.square() + (y - 0.3).square()) / 0.1)
    fwhm = torch.tensor(0.15)
    fitter = Fitter(pixel_scale=0.1, psf=GaussianPSF(fwhm, 0.1), max_steps=0)
    narrow = fitter(image, 0.1).model
    fwhm.fill_(0.6)
    wide = fitter(image, 0.1).model
    fresh = Fitter(pixel_scale=0.1, psf=GaussianPSF(0.6, 0.1), max_steps=0)(image, 0.1).model
    torch.testing.assert_close(wide, fresh)
    assert not torch.allclose(wide, narrow)
