"""Sersic sources behind power laws, fitted to images."""

from pathlib import Path

import numpy as np
import pytest
import torch

from learn.lens_fits.sersic_fits import coarsen, fit_sersics
from learn.lens_fits.store import fit_data_set
from simulate.dataset.photometry import Photometry
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet, read
from tests.learn.conftest import WHOLE_FIT
from tests.learn.lens_fits.mocks import channel


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
    flux = torch.from_numpy(data.image[rows, 0] * known.rate[:, None, None]).float()
    part = fit_sersics(flux, known, WHOLE_FIT, lens_light=False)
    found = part.params
    assert np.hypot(found["center_x"], found["center_y"]).max() < 0.03, "arcsec; all are centred"
    np.testing.assert_allclose(found["e1"], 0.1, atol=0.03)


def test_without_steps_the_nearest_template_stays(smooth: DataSet) -> None:
    guess = fit_data_set(smooth, WHOLE_FIT.model_copy(update={"steps": 0}))
    solved = fit_data_set(smooth, WHOLE_FIT)
    assert (guess.chi2_dof > 2 * solved.chi2_dof).all()


def test_noise_free_published_images_are_fitted_at_the_noise_of_their_instrument(
    tmp_path: Path,
) -> None:
    config = load_simulate_config(
        2, n=6, workers=1, out=tmp_path / "data", device="cpu", classes=("no_sub",)
    )
    fits = fit_data_set(read(simulate(config)[0]), WHOLE_FIT)
    assert fits.chi2_dof.max() < 1e-4, "a smooth lens without noise is met exactly"
    assert np.isfinite(fits.rows(slice(None)).channels).all()


@pytest.mark.parametrize(
    ("shape", "factor"), [((64, 64), 1), ((150, 150), 2), ((151, 150), 1), ((150, 100), 1)]
)
def test_large_images_of_even_sides_are_binned_for_a_first_lens(
    shape: tuple[int, int], factor: int
) -> None:
    assert coarsen(torch.zeros(1, *shape)) == factor
