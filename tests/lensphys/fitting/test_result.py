"""Results of fits: they reach the noise, with errors as large as the deviations."""

import pytest
import torch

from lensphys import fit
from lensphys.fitting.scene import LensScene
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like, stacked


def test_parameters_that_are_held_have_no_error_where_nothing_can_be_known():
    held = {"center_x": 0.0, "center_y": 0.0}
    result = fit(torch.zeros(1, 32, 32), 1.0, **KIND, fixed=held)
    for name in held:
        assert result.errors[name].item() == 0
    at = [result.names.index(name) for name in held]
    assert (result.covariance[:, at] == 0).all()
    assert not result.covariance.isnan().any()


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


def test_the_parts_of_a_model_add_up_to_it():
    scene = LensScene(lens_light=True)
    truth = draw(2, seed=2, scene=scene)
    settings = {**KIND, "start": truth, "max_steps": 1}
    shining = fit(image_of(truth, scene=scene), 0.01, lens_light=True, **settings)
    parts = shining.parts()
    assert list(parts) == ["source", "lens_light", "sky"]
    torch.testing.assert_close(sum(parts.values()), shining.model)
    assert parts["lens_light"].amax((1, 2)).min() > 0
    assert not parts["sky"].any()
    start = draw(2, seed=2)
    dark = fit(image_of(start), 0.01, **{**settings, "start": start})
    torch.testing.assert_close(dark.parts()["source"], dark.model)
    assert not dark.parts()["lens_light"].any()
    assert dark.amplitudes == {}
    assert (dark.effective == 14).all()
