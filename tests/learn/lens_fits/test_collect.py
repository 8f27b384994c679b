"""Results of fits in the form in which they are kept."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor

import lensphys as lp
from learn.lens_fits import collect as collecting
from learn.lens_fits.channels import CHANNELS, MASKED
from learn.lens_fits.collect import DrawRequest, collect
from learn.lens_fits.draws import DrawSettings, draw_groups
from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.lens_fits.maps import search_masses
from learn.lens_fits.store import fit_data_set
from learn.tasks.misfit import find_seen
from lensphys.fitting.result import FitResult
from simulate.dataset.padding import find_shown
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet
from tests.learn.conftest import WHOLE_FIT
from tests.learn.lens_fits.mocks import channel, fitted, searched
from tests.lensphys.fitting.mocks import PIXEL, draw

RATE = np.array([1.0, 0.5, 2.0])


def photometry(count: int) -> Photometry:
    known = np.full(count, math.inf)
    return Photometry(PIXEL, PIXEL, 5.0, 1.0, np.resize(RATE, count), known)


def collected(result: FitResult, draws: DrawRequest | None = None) -> LensFits:
    flux = result.problem.images
    return collect(result, flux, photometry(len(flux)), WHOLE_FIT, draws)


def power_laws(count: int) -> dict[str, Tensor]:
    truth = draw(count, seed=5)
    return truth | {"gamma": torch.full_like(truth["theta_E"], 2.0)}


@pytest.fixture(scope="module")
def result() -> FitResult:
    """More images than are linearised at once."""
    return fitted(count=18, mass="EPL", start=power_laws(18))


def test_channels_are_those_of_the_fit(result: FitResult) -> None:
    fits = collected(result)
    near, response = searched(result)
    maps = search_masses(near, response)
    assert isinstance(fits.channels, Tensor)
    assert fits.channels.shape == (18, len(CHANNELS), 32, 32)
    assert fits.channels.dtype == torch.float16
    sigma = 1 / near.weight / torch.from_numpy(np.resize(RATE, 18))[:, None, None]
    expected = {
        "residual": near.residual[:, None],
        "response": response,
        "sigma": sigma[:, None],
        "snr": maps.snr,
        "log_error": maps.log_error,
    }
    found = CHANNELS.split(fits.channels.double())
    for name, wanted in expected.items():
        torch.testing.assert_close(found[name], wanted.double(), rtol=2e-3, atol=2e-3, msg=name)
    torch.testing.assert_close(fits.statistics, maps.statistics.float(), rtol=1e-3, atol=1e-3)
    assert fits.draws is fits.moments is None


def test_padding_has_the_noise_of_what_is_masked_in_any_unit(result: FitResult) -> None:
    """In the last one, a hundred times the noise of the sky is beyond half precision."""
    flux, padding = result.problem.images, np.tile([4, 0, 1, 2], (18, 1))
    rate = np.repeat([1.0, 1e3, 1e-3], 6)
    known = dataclasses.replace(photometry(18), rate=rate, padding=padding)
    fits = collect(result, flux, known, WHOLE_FIT)
    assert isinstance(fits.channels, Tensor)
    sigma = fits.channels[:, CHANNELS["sigma"]][:, 0]
    shown = torch.from_numpy(find_shown(padding, (32, 32)))
    assert (sigma[~shown] == MASKED).all()
    assert torch.equal(find_seen(sigma), shown)


def test_parameters_and_errors_are_those_of_the_fit(result: FitResult) -> None:
    fits = collected(result)
    assert fits.names == NAMES
    for name in NAMES:
        torch.testing.assert_close(fits.params[name], result.params[name].detach().float())
    torch.testing.assert_close(fits.covariance, result.covariance.float())
    torch.testing.assert_close(fits.chi2_dof, result.chi2_dof.detach().float())
    assert torch.equal(fits.converged, result.converged)


def test_draws_are_those_of_their_own_seeds(result: FitResult) -> None:
    settings, seeds = DrawSettings(3, 8), list(range(100, 118))
    fits = collected(result, DrawRequest(settings, seeds))
    near, response = searched(result)
    expected = draw_groups(response.float(), near, settings, seeds)
    assert isinstance(fits.draws, Tensor)
    assert fits.draws.dtype == torch.float16
    torch.testing.assert_close(fits.draws.float(), expected.change, rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(fits.moments, expected.moments, rtol=1e-4, atol=1e-5)


def test_expansions_are_named_like_sersic_sources() -> None:
    """The scale of shapelets times 1.18 is the half-light radius of the first, a Gaussian."""
    result = fitted(source="shapelets", source_order=4, start=None, n_starts=1, mass="EPL")
    fits = collected(result)
    assert fits.names == NAMES
    beta = result.params["source_beta"].detach()
    ratio = math.sqrt(2 * math.log(2))
    torch.testing.assert_close(fits.params["source_R_sersic"].double(), ratio * beta)
    torch.testing.assert_close(
        fits.errors["source_R_sersic"].double(),
        ratio * result.errors["source_beta"],
        rtol=1e-3,
        atol=0,
    )
    for name in ("theta_E", "gamma", "e1", "center_x", "gamma2", "source_center_y"):
        torch.testing.assert_close(fits.params[name].double(), result.params[name].detach())
        torch.testing.assert_close(
            fits.errors[name].double(), result.errors[name], rtol=1e-3, atol=0
        )
    places = [NAMES.index(name) for name in ("theta_E", "gamma")]
    own = [result.names.index(name) for name in ("theta_E", "gamma")]
    torch.testing.assert_close(
        fits.covariance[:, places[0], places[1]].double(),
        result.covariance[:, own[0], own[1]],
        rtol=1e-3,
        atol=1e-12,
    )
    # What an expansion lacks is that of a round disc of no light, which nothing constrains.
    for name, neutral in (("n_sersic", 1.0), ("e1", 0.0), ("e2", 0.0), ("amplitude", 0.0)):
        assert (fits.params[f"source_{name}"] == neutral).all()
        assert fits.errors[f"source_{name}"].isinf().all()
    between = ~torch.eye(len(NAMES), dtype=torch.bool)
    assert fits.covariance[:, between].isfinite().all()


def test_an_image_that_cannot_be_fitted_spoils_no_other(
    result: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = collected(result)
    linearise = collecting.linearise

    def broken(*given: Any) -> Any:
        near = linearise(*given)
        near.residual[0, 3, 3] = torch.nan
        return near

    monkeypatch.setattr(collecting, "linearise", broken)
    part = collected(result, DrawRequest(DrawSettings(2, 3), range(18)))
    assert isinstance(part.channels, Tensor)
    assert part.channels.isfinite().all()
    assert part.statistics is not None
    assert part.statistics.isfinite().all()
    # The first of each of the blocks that are linearised at once.
    spoiled = [0, 16]
    assert not part.converged[spoiled].any()
    kept = torch.ones(18, dtype=torch.bool)
    kept[spoiled] = False
    assert torch.equal(part.converged[kept], whole.converged[kept])
    assert isinstance(whole.channels, Tensor)
    assert torch.equal(part.channels[kept], whole.channels[kept])


def test_numbers_beyond_half_precision_are_cut_off(result: FitResult) -> None:
    bright = lp.fit(
        1e9 * result.problem.images[:1],
        1e9 * 1e-4 / result.problem.weight[:1],
        start={name: value[:1].detach() for name, value in result.params.items()},
        pixel_scale=PIXEL,
        mass="EPL",
        max_steps=0,
    )
    channels = collected(bright).channels
    assert isinstance(channels, Tensor)
    assert channels.isfinite().all()
    assert channels.abs().max() == 6e4


def test_images_of_one_piece_of_the_source_meet_in_the_source_plane(smooth: DataSet) -> None:
    """The brightest pixels of every image come from near the centre of the source."""
    fits = fit_data_set(smooth, WHOLE_FIT)
    distance = np.hypot(channel(fits, "source_plane", 0), channel(fits, "source_plane", 1))
    flux = smooth.image[:, 0]
    for image, far in zip(flux, distance, strict=True):
        brightest = image > 0.7 * image.max()
        assert np.median(far[brightest]) < np.median(far[~brightest])


def test_the_control_is_the_image_less_its_local_mean(smooth: DataSet) -> None:
    control = fit_data_set(smooth, WHOLE_FIT.model_copy(update={"residual": "high-pass"}))
    residual = channel(control, "residual")
    flux = smooth.image[:, 0].astype(np.float64)
    local = np.stack([uniform_filter(image, 5) for image in flux])
    corner = np.s_[:, 2:12, 2:12]
    expected = (flux - local)[corner] / Photometry.of(smooth).background_sigma
    np.testing.assert_allclose(residual[corner], expected, rtol=0.2, atol=0.05)
    np.testing.assert_array_equal(
        channel(control, "source_plane"), channel(fit_data_set(smooth, WHOLE_FIT), "source_plane")
    )
