"""Fits of lenses: recovery, errors, convergence, gradients, and what they refuse."""

import math

import pytest
import torch

from lensphys import Fitter, GaussianPSF, fit, pixel_grid, render
from lensphys.fitting.bounds import Bounds
from lensphys.fitting.fitter import _CHUNK
from lensphys.fitting.scene import LensScene
from lensphys.fitting.templates import Templates
from lensphys.rendering import Pixels

PIXEL = 0.12
PSF = GaussianPSF(0.12, PIXEL)
KIND = {"pixel_scale": PIXEL, "psf": PSF}
#: Ranges that lenses are drawn from, for a field of 3.84 arcsec.
POPULATION = {
    "theta_E": (0.7, 1.2),
    "gamma": (1.8, 2.2),
    "e1": (-0.25, 0.25),
    "e2": (-0.25, 0.25),
    "center_x": (-0.05, 0.05),
    "center_y": (-0.05, 0.05),
    "gamma1": (-0.08, 0.08),
    "gamma2": (-0.08, 0.08),
    "source_amplitude": (50.0, 100.0),
    "source_R_sersic": (0.15, 0.35),
    "source_n_sersic": (0.8, 2.0),
    "source_e1": (-0.25, 0.25),
    "source_e2": (-0.25, 0.25),
    "source_center_x": (-0.3, 0.3),
    "source_center_y": (-0.3, 0.3),
    "lens_light_amplitude": (20.0, 40.0),
    "lens_light_R_sersic": (0.3, 0.5),
    "lens_light_n_sersic": (1.0, 3.0),
    "lens_light_e1": (-0.2, 0.2),
    "lens_light_e2": (-0.2, 0.2),
    "lens_light_center_x": (-0.05, 0.05),
    "lens_light_center_y": (-0.05, 0.05),
}


def draw(size, seed, scene=None):
    """Parameters of lenses at random, float64, each of shape (size,)."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(len(POPULATION), size, generator=generator, dtype=torch.float64)
    drawn = {
        name: low + (high - low) * u
        for (name, (low, high)), u in zip(POPULATION.items(), uniform, strict=True)
    }
    return {name: drawn[name] for name in (scene or LensScene()).names}


def image_of(params, shape=(32, 32), scene=None, supersampling=1, psf=PSF):
    x, y = pixel_grid(shape, PIXEL, dtype=torch.float64)
    pixels = Pixels(x, y, psf=psf, supersampling=supersampling)
    return (scene or LensScene()).image(params, pixels)


def noise_like(images, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images.shape, generator=generator, dtype=torch.float64)


def stacked(params):
    return torch.stack(list(params.values()), -1)


def deviation(result, truth):
    """The largest deviation of any parameter from the truth, per image."""
    difference = [(result.params[name].double() - truth[name]).abs() for name in result.names]
    return torch.stack(difference).amax(0)


def nudged(truth, by=0.01):
    """Starting values near the truth."""
    return {name: value * (1 + by) + 0.5 * by for name, value in truth.items()}


@pytest.fixture(scope="module")
def fitter():
    """One fitter of default settings; its templates are made once."""
    return Fitter(**KIND)


@pytest.fixture(scope="module")
def wide_fitter():
    """Another one, for float64."""
    return Fitter(**KIND)


@pytest.fixture(scope="module")
def sample(fitter):
    """128 lenses of peak S/N 30, float32: truth, images, sigma, chi^2 of the truth, and fits."""
    truth = draw(128, seed=5)
    clean = image_of(truth)
    sigma = clean.amax((1, 2)) / 30
    noise = noise_like(clean, 6)
    images = (clean + sigma[:, None, None] * noise).float()
    chi2 = noise.square().sum((1, 2))
    return truth, images, sigma.float(), chi2, fitter(images, sigma.float())


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


@pytest.mark.parametrize("size", [32, 37])
def test_templates_show_the_lenses_that_they_are_labelled_with(size):
    scene = LensScene()
    x, y = pixel_grid(size, PIXEL, dtype=torch.float64)
    templates = Templates(scene, Pixels(x, y))
    chosen = torch.arange(0, len(templates.params), 997)
    params = scene.named(templates.params[chosen])
    shown = scene.image(params, Pixels(x, y))
    best = templates.best(shown, torch.ones_like(shown), 1)[:, 0]
    found, wanted = scene.named(best), params
    for name in ("theta_E", "e1", "e2", "source_center_x", "source_center_y"):
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-12)


def test_parameters_that_are_held_have_no_error_where_nothing_can_be_known():
    held = {"center_x": 0.0, "center_y": 0.0}
    result = fit(torch.zeros(1, 32, 32), 1.0, **KIND, fixed=held)
    for name in held:
        assert result.errors[name].item() == 0
    at = [result.names.index(name) for name in held]
    assert (result.covariance[:, at] == 0).all()
    assert not result.covariance.isnan().any()


# Noise-free images


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


# Statistics


def test_almost_every_fit_describes_its_image_down_to_the_noise(sample):
    _, images, _, chi2, result = sample
    ratio = result.chi2_dof / (chi2 / images[0].numel())
    assert (ratio < 1.02).double().mean() >= 0.97
    assert result.converged.double().mean() >= 0.97


def pulls(sample):
    truth, images, _, chi2, result = sample
    good = result.chi2_dof / (chi2 / images[0].numel()) < 1.02
    each = [(result.params[k] - truth[k]) / result.errors[k] for k in result.names]
    return torch.stack(each, -1)[good]


def test_deviations_from_the_truth_are_as_large_as_the_errors_say(sample):
    found = pulls(sample)
    assert found.isfinite().all()
    # 128 images of 14 parameters, about half of them independent: a spread of 2.5%.
    assert found.square().mean().sqrt().item() == pytest.approx(1, abs=0.08)
    # One parameter of 128 images: 0.09 for the mean, 0.06 for the standard deviation.
    assert found.mean(0).abs().max() < 0.36
    assert (found.std(0) - 1).abs().max() < 0.25


def test_68_per_cent_intervals_hold_64_to_72_per_cent_of_truths(sample):
    assert 0.64 < (pulls(sample).abs() < 1).double().mean() < 0.72
    assert 0.93 < (pulls(sample).abs() < 2).double().mean() < 0.97


def test_the_covariance_is_the_scatter_over_realisations_of_the_noise():
    truth = draw(1, seed=8)
    clean = image_of(truth).expand(256, -1, -1)
    sigma = clean.max().item() / 100
    images = (clean + sigma * noise_like(clean, 9)).float()
    result = fit(images, sigma, **KIND, start={k: v.item() for k, v in truth.items()})
    expected = fit(clean[:1], sigma, **KIND, start=truth).covariance[0]
    off = (stacked(result.params) - stacked(truth)).double()
    # In units of the error ellipsoid.
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(expected), off.T, upper=False)
    spread = white @ white.T / len(images)
    # A variance over 256 realisations is known to 9%, the mean of 14 of them to 2.4%.
    assert spread.diagonal().mean().item() == pytest.approx(1, abs=0.1)
    assert (spread - torch.eye(14)).abs().max() < 0.4
    torch.testing.assert_close(
        result.covariance.double().mean(0).diagonal().sqrt(),
        expected.diagonal().sqrt(),
        rtol=0.05,
        atol=0,
    )


def test_errors_are_the_diagonal_of_the_covariance(sample):
    result = sample[-1]
    for i, name in enumerate(result.names):
        torch.testing.assert_close(result.errors[name], result.covariance[:, i, i].sqrt())
    torch.testing.assert_close(result.covariance, result.covariance.mT)
    # A decade more noise is a decade more error.
    truth = draw(1, seed=8)
    quiet, loud = (fit(image_of(truth), s, **KIND, start=truth) for s in (0.01, 0.1))
    for name in quiet.names:
        torch.testing.assert_close(loud.errors[name], 10 * quiet.errors[name], rtol=1e-6, atol=0)


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


# What the result may not depend on


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
    sigma[hidden] = 1e5
    loud = fitter(images[:3], sigma)
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


# Bounds


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


def test_gradients_of_a_fit_with_fixed_parameters_are_finite():
    truth = draw(2, seed=33)
    images = image_of(truth).requires_grad_()
    result = fit(images, 0.02, fixed={"gamma1": truth["gamma1"]}, start=nudged(truth), **KIND)
    sum(result.params.values()).sum().backward()
    assert torch.isfinite(images.grad).all()
    assert images.grad.abs().amax((1, 2)).min() > 0


def test_no_fit_leaves_the_default_ranges():
    images = noise_like(torch.empty(6, 24, 24), 4)
    result = fit(images, 1.0, **KIND, start={"source_center_x": 0.3})
    params = stacked(result.params)
    peak = images.amax((1, 2)) / PIXEL**2
    limits = Bounds(result.scene.ranges, 12 * PIXEL, peak, {})
    assert (params > limits.low).all()
    assert (params < limits.high).all()


# Convergence


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


# Gradients


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


def test_a_start_that_wants_gradients_is_only_a_start():
    truth = {k: v.requires_grad_() for k, v in draw(1, seed=1).items()}
    images = image_of({k: v.detach() for k, v in truth.items()})
    result = fit(images, 0.01, **KIND, start=truth)
    assert not result.params["theta_E"].requires_grad


# Starts


def test_a_start_may_name_some_parameters_as_numbers_or_one_an_image(sample):
    truth, images, sigma, _, _ = sample
    some = {k: truth[k][:2] for k in ("theta_E", "source_center_x", "source_center_y")}
    result = fit(images[:2], sigma[:2], **KIND, start={**some, "source_n_sersic": 1.3})
    assert (result.chi2_dof < 1.15).all()


@pytest.mark.parametrize("far", [-1e6, 0.0, 1e6])
def test_a_start_out_of_bounds_is_moved_inside(far, sample):
    truth, images, sigma, _, _ = sample
    start = {k: v[:1] for k, v in truth.items()} | {"source_R_sersic": far}
    result = fit(images[:1], sigma[:1], **KIND, start=start)
    assert torch.isfinite(stacked(result.params)).all()


# Bad input

IMAGE = torch.ones(2, 16, 18)
BROKEN = IMAGE.clone()
BROKEN[0, 3, 4], BROKEN[1, 2, 2] = math.nan, math.inf
PIXELS = {"pixel_scale": 0.1}

REFUSED = {
    "NaN": ((BROKEN, 1.0), {}, "images hold 2 pixels that are not finite; mask them"),
    "array": ((IMAGE.numpy(), 1.0), {}, "images must be a tensor of floating-point numbers"),
    "integers": ((IMAGE.long(), 1.0), {}, "images must be a tensor of floating-point numbers"),
    "half": ((IMAGE.half(), 1.0), {}, "float32 or float64"),
    "channels": (
        (IMAGE[:, None], 1.0),
        {},
        r"images must be \(B, ny, nx\) .* got \(2, 1, 16, 18\)",
    ),
    "no images": ((IMAGE[:0], 1.0), {}, r"images must be .* got \(0, 16, 18\)"),
    "few pixels": ((IMAGE[:, :3, :4], 1.0), {}, "12 pixels that are not masked, too few for 14"),
    "all masked": ((IMAGE, torch.tensor([1.0, math.inf])), {}, "an image has 0 pixels"),
    "one row": ((IMAGE[:, :1], 1.0), {"bounds": {}}, "at least 2 pixels a side"),
    "sigma 0": ((IMAGE, 0.0), {}, "sigma must be positive"),
    "sigma negative": ((IMAGE, torch.tensor([1.0, -1.0])), {}, "sigma must be positive"),
    "sigma NaN": ((IMAGE, math.nan), {}, "sigma must be positive"),
    "sigma of others": ((IMAGE, torch.ones(3)), {}, r"sigma must be a number, \(2,\) .*got \(3,\)"),
    "sigma of a row": ((IMAGE, torch.ones(18)), {}, r"sigma must be .* got \(18,\)"),
    "sigma turned": ((IMAGE, torch.ones(18, 16)), {}, r"sigma must be .* got \(18, 16\)"),
    "mass": ((IMAGE, 1.0), {"mass": "NFW"}, "mass must be one of SIE, EPL, got 'NFW'"),
    "start name": ((IMAGE, 1.0), {"start": {"theta_e": 1.0}}, "'theta_e'; did you mean theta_E?"),
    "slope of SIE": ((IMAGE, 1.0), {"start": {"gamma": 2.0}}, "start names an unknown .* 'gamma'"),
    "light of a dark lens": (
        (IMAGE, 1.0),
        {"start": {"lens_light_amplitude": 1.0}},
        "unknown parameter 'lens_light_amplitude'",
    ),
    "start NaN": ((IMAGE, 1.0), {"start": {"theta_E": math.nan}}, "start of theta_E .* finite"),
    "start shape": (
        (IMAGE, 1.0),
        {"start": {"e1": torch.zeros(3)}},
        r"start of e1 must be a number or of shape \(2,\), got \(3,\)",
    ),
    "bound name": ((IMAGE, 1.0), {"bounds": {"thetaE": (0.1, 1.0)}}, "did you mean theta_E?"),
    "bounds reversed": ((IMAGE, 1.0), {"bounds": {"e1": (0.1, -0.1)}}, "bounds of e1 .*low < high"),
    "no starts": ((IMAGE, 1.0), {"n_starts": 0}, "n_starts must be a whole number from 1 on"),
    "half a start": ((IMAGE, 1.0), {"n_starts": 1.5}, "n_starts must be a whole number"),
    "steps back": ((IMAGE, 1.0), {"max_steps": -1}, "max_steps must be a whole number from 0 on"),
    "retry": ((IMAGE, 1.0), {"retry_above": -1.0}, "retry_above must not be negative"),
    "true": ((IMAGE, 1.0), {"max_steps": True}, "max_steps must be a whole number"),
    "tolerance": ((IMAGE, 1.0), {"tolerance": 0.0}, "tolerance must be finite and in"),
    "tolerance a word": ((IMAGE, 1.0), {"tolerance": "a"}, "tolerance must be a number"),
    "sigma a word": ((IMAGE, "a"), {}, "sigma must be a number or a tensor, got str"),
    "tolerance NaN": ((IMAGE, 1.0), {"tolerance": math.nan}, "tolerance must be finite and in"),
    "PSF": ((IMAGE, 1.0), {"psf": GaussianPSF(0.1, 0.05)}, r"psf\.pixel_scale is 0\.05 arcsec"),
    "fixed name": ((IMAGE, 1.0), {"fixed": {"gama1": 0.0}}, "fixed names an unknown .* gamma1"),
    "fixed NaN": ((IMAGE, 1.0), {"fixed": {"gamma1": math.nan}}, "fixed gamma1 must be finite"),
    "supersampling": (
        (IMAGE, 1.0),
        {"supersampling": 0},
        "supersampling must be a whole number from 1 on",
    ),
    "pixels": ((IMAGE, 1.0), {"pixel_scale": 0.0}, "pixel_scale must be positive"),
}


@pytest.mark.parametrize(("given", "settings", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_with_its_reason(given, settings, message):
    with pytest.raises(ValueError, match=message):
        fit(*given, **PIXELS | settings)
