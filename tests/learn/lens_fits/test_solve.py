"""Smooth lenses fitted to images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

import lensphys as lp
from learn.lens_fits import solve
from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.solve import fit_images, fit_loose_images, make_channels, recipe
from learn.lens_fits.store import fit_data_set
from learn.views.symmetries import turn_channels
from simulate.augment.transforms import turn_images
from simulate.dataset.photometry import Photometry
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet, read
from tests.learn.conftest import WHOLE_FIT


def channel(fits: LensFits, name: str, axis: int = 0) -> np.ndarray[Any, Any]:
    """A channel (N, H, W), of vectors that along x (0) or y (1)."""
    channels = fits.rows(slice(None)).channels
    assert isinstance(channels, torch.Tensor)
    return CHANNELS.split(channels)[name][:, axis].double().numpy()


def test_a_smooth_lens_leaves_noise_alone(smooth: DataSet) -> None:
    fits = fit_data_set(smooth, WHOLE_FIT)
    assert fits.converged.float().mean() > 0.9
    assert np.median(fits.chi2_dof) == pytest.approx(1.0, abs=0.02)
    residual = channel(fits, "residual")[(fits.chi2_dof < 1.1).numpy()]
    assert residual.std() == pytest.approx(1.0, abs=0.02)
    assert residual.mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("column", ["image", "image_lr"])
def test_large_and_coarse_images_are_fitted_too(tmp_path: Path, column: str) -> None:
    """150 pixels, whose first lens is found in coarser ones, and 75 with two rays a side."""
    config = load_simulate_config(
        1,
        "physical",
        n=8,
        workers=1,
        out=tmp_path / "data",
        device="cpu",
        classes=("no_sub",),
        pairs=2,
    )
    data = read(simulate(config)[0])
    fits = fit_data_set(data, WHOLE_FIT, column)
    images = data.image if column == "image" else data.image_lr
    assert images is not None
    np.testing.assert_allclose(fits.chi2_dof, 1.0, atol=5 * np.sqrt(2 / images[0].size))
    assert np.abs(channel(fits, "residual")).max() < 7.0


def test_counts_cut_off_at_zero_are_fitted_on_average(tmp_path: Path) -> None:
    config = load_simulate_config(
        1, n=6, workers=1, out=tmp_path / "data", device="cpu", classes=("no_sub",)
    )
    fits = fit_data_set(read(simulate(config)[0]), WHOLE_FIT)
    assert np.median(fits.chi2_dof) == pytest.approx(1.0, abs=0.03)
    assert np.median(fits.params["source_R_sersic"]) == pytest.approx(0.25, rel=0.05)
    assert channel(fits, "residual").mean() == pytest.approx(0.0, abs=0.05)


def test_a_lens_is_found_on_the_right_side_of_its_source(tmp_path: Path) -> None:
    """Near the centre both sides are minima, and the wrong one explains noisy images nearly."""
    config = load_simulate_config(
        1,
        "published",
        ["source.center_half_width=0.12"],
        n=18,
        workers=1,
        out=tmp_path / "data",
        device="cpu",
        classes=("no_sub",),
    )
    data, rows = read(simulate(config)[0]), slice(14, 18)  # of these, three are caught at first
    known = Photometry.of(data).select(rows)
    part = fit_images(torch.from_numpy(data.image[rows, 0]), known, WHOLE_FIT, False)
    found = part.params
    assert np.hypot(found["center_x"], found["center_y"]).max() < 0.03, "arcsec; all are centred"
    np.testing.assert_allclose(found["e1"], 0.1, atol=0.03)


def test_an_image_that_cannot_be_fitted_spoils_no_other(
    smooth: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **options: Any) -> torch.Tensor:
        found = make_channels(*given, **options)
        found[0, 0, 3, 3] = torch.nan
        return found

    monkeypatch.setattr(solve, "make_channels", broken)
    flux, known = torch.from_numpy(smooth.image[:3]), Photometry.of(smooth).select(slice(0, 3))
    part = fit_images(flux[:, 0], known, WHOLE_FIT, False)
    assert np.isfinite(part.channels).all()
    assert part.converged.tolist()[0] is False


def test_the_response_is_the_change_with_a_small_deflection(smooth: DataSet) -> None:
    """A source that moves the other way changes the image alike."""
    fits, known = fit_data_set(smooth, WHOLE_FIT), Photometry.of(smooth)
    x, y = lp.pixel_grid(64, known.pixel_scale)
    psf = lp.GaussianPSF(fwhm=known.psf_fwhm, pixel_scale=known.pixel_scale, truncation=5.0)
    value = fits.params
    lens = lp.ThinLens(
        [
            lp.EPL(**{name: value[name] for name in lp.EPL.parameter_names()}),
            lp.Shear(gamma1=value["gamma1"], gamma2=value["gamma2"]),
        ]
    )
    source = {name: value[f"source_{name}"] for name in lp.Sersic.parameter_names()}
    step = 1e-3
    there, here = (
        lp.render(lens, lp.Sersic(**source | {"center_x": source["center_x"] + d}), x, y, psf=psf)
        for d in (step, -step)
    )
    model = lp.render(lens, lp.Sersic(**source), x, y, psf=psf)
    exposure = torch.from_numpy(known.exposure).float()[:, None, None]
    sigma = torch.sqrt(known.background_sigma**2 + model / exposure)
    expected = ((there - here) / (2 * step) / sigma).numpy()
    found = channel(fits, "response")
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_images_of_one_piece_of_the_source_meet_in_the_source_plane(smooth: DataSet) -> None:
    """The brightest pixels of every image come from near the centre of the source."""
    fits = fit_data_set(smooth, WHOLE_FIT)
    distance = np.hypot(channel(fits, "source_plane", 0), channel(fits, "source_plane", 1))
    flux = smooth.image[:, 0]
    for image, far in zip(flux, distance, strict=True):
        brightest = image > 0.7 * image.max()
        assert np.median(far[brightest]) < np.median(far[~brightest])


def test_without_steps_the_nearest_template_stays(smooth: DataSet) -> None:
    guess = fit_data_set(smooth, WHOLE_FIT.model_copy(update={"steps": 0}))
    solved = fit_data_set(smooth, WHOLE_FIT)
    assert (guess.chi2_dof > 2 * solved.chi2_dof).all()


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


def test_the_fit_of_a_turned_image_is_the_turned_fit(smooth: DataSet) -> None:
    rows = np.flatnonzero(fit_data_set(smooth, WHOLE_FIT).chi2_dof < 1.1)[:4]
    known, flux = Photometry.of(smooth).select(rows), torch.from_numpy(smooth.image[rows])
    symmetry = torch.tensor([1, 3, 4, 6])
    before = fit_loose_images(flux, known, WHOLE_FIT, lens_light=False).channels
    after = fit_loose_images(
        turn_images(flux, symmetry), known, WHOLE_FIT, lens_light=False
    ).channels
    expected = turn_channels(before, symmetry)
    difference = (after[:, 0] - expected[:, 0]).flatten(1).norm(dim=1) / 64
    assert difference.median() < 0.05, "sigma"


def test_noise_free_published_images_are_fitted_at_the_noise_of_their_instrument(
    tmp_path: Path,
) -> None:
    config = load_simulate_config(
        2, n=6, workers=1, out=tmp_path / "data", device="cpu", classes=("no_sub",)
    )
    fits = fit_data_set(read(simulate(config)[0]), WHOLE_FIT)
    assert fits.chi2_dof.max() < 1e-4, "a smooth lens without noise is met exactly"
    assert np.isfinite(fits.rows(slice(None)).channels).all()


def test_the_recipe_is_that_of_earlier_versions(smooth: DataSet) -> None:
    """The fit is a function of this text and the image; with another it would be done again."""
    text = recipe(Photometry.of(smooth), WHOLE_FIT, False)
    assert text.startswith("[[4, 2000.0, 0.5, 128, 5], {")
    assert json.loads(text)[2:] == [{"steps": 50, "high_pass": False}, False]
