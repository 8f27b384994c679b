"""Structured sources in shapelets, behind lenses that shine."""

from pathlib import Path

import numpy as np
import pytest
import torch

import lensphys as lp
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.shapelet_fits import fit_shapelets
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet, read
from tests.learn.conftest import WHOLE_FIT, simulated
from tests.learn.lens_fits.mocks import channel

#: Spirals without clumps, behind lenses of bulge and disc with multipoles but without neighbours,
#: under the PSF that is known.
KNOWN = (
    "source.structure.clumps=0",
    "neighbours.fraction=0",
    "psf.width={distribution: normal, mean: 1, sigma: 1.0e-9, low: 0.99, high: 1.01}",
    "psf.e={distribution: normal, mean: 0, sigma: 1.0e-9, low: -0.01, high: 0.01}",
)


def made(folder: Path, model: int, n: int) -> DataSet:
    kind = {"preset": "realistic", "classes": ("no_sub",), "sets": KNOWN}
    return read(simulated(folder / "data", model, n, **kind))


@pytest.fixture(scope="module")
def structured(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return made(tmp_path_factory.mktemp("structured"), 3, 8)


@pytest.fixture(scope="module")
def fits(structured: DataSet) -> LensFits:
    known = Photometry.of(structured)
    return fit_shapelets(electrons(structured), known, WHOLE_FIT, lens_light=True)


def electrons(data: DataSet) -> torch.Tensor:
    rate = Photometry.of(data).rate
    return torch.from_numpy(data.image[:, 0] * rate[:, None, None]).float()


def test_the_einstein_radius_is_found_within_a_few_per_cent(
    structured: DataSet, fits: LensFits
) -> None:
    error = np.abs(fits.params["theta_E"].numpy() / structured.params["theta_E"] - 1)
    assert np.median(error) < 0.01
    assert (error < 0.05).mean() > 0.7, "a quick search misses some"


def test_structure_that_a_sersic_source_leaves_is_explained(
    structured: DataSet, fits: LensFits
) -> None:
    known, flux = Photometry.of(structured).select(slice(0, 4)), electrons(structured)[:4]
    kind = {"mass": "EPL", "lens_light": "mge", "n_starts": 1, "max_steps": 12}
    optics = {"pixel_scale": known.pixel_scale, "psf": known.psf}
    plain = lp.fit(flux, known.mean_and_sigma(flux)[1], source="sersic", **kind, **optics)
    ratio = fits.chi2_dof[:4] / plain.chi2_dof
    assert ratio.max() < 0.75
    assert ratio.median() < 0.55


def test_the_residual_of_a_lens_that_is_explained_is_noise(fits: LensFits) -> None:
    explained = (fits.chi2_dof < 1.2).numpy()
    assert explained.sum() >= 3
    residual = channel(fits, "residual")[explained]
    assert residual.std() == pytest.approx(1.03, abs=0.05)
    assert residual.mean() == pytest.approx(0.0, abs=0.02)


def test_few_pixels_of_lenses_with_neighbours_are_left_out(tmp_path: Path) -> None:
    kind = {"preset": "realistic", "classes": ("no_sub",), "sets": ("neighbours.fraction=1",)}
    data = read(simulated(tmp_path / "data", 3, 6, **kind))
    found = fit_shapelets(electrons(data), Photometry.of(data), WHOLE_FIT, lens_light=True)
    seen = (channel(found, "residual") != 0).mean(axis=(1, 2))
    assert seen.mean() > 0.85
    assert seen.max() == 1


def test_images_of_an_odd_number_of_pixels_are_fitted_in_their_own(structured: DataSet) -> None:
    known, flux = Photometry.of(structured).select(slice(0, 4)), electrons(structured)[:4, 1:, 1:]
    found = fit_shapelets(flux, known, WHOLE_FIT, lens_light=True)
    assert found.chi2_dof.median() < 1.3


def test_large_images_are_searched_in_coarser_pixels_and_fitted_in_their_own(
    tmp_path: Path,
) -> None:
    data = made(tmp_path, 1, 2)
    found = fit_shapelets(electrons(data), Photometry.of(data), WHOLE_FIT, lens_light=True)
    error = np.abs(found.params["theta_E"].numpy() / data.params["theta_E"] - 1)
    assert error.max() < 0.06
    assert error.min() < 0.02
    assert found.chi2_dof.min() < 1.3
    assert isinstance(found.channels, torch.Tensor)
    assert found.channels.shape[-2:] == data.image.shape[-2:] == (150, 150)


def test_without_steps_the_candidates_of_the_search_stay(structured: DataSet) -> None:
    few, known = electrons(structured)[:1], Photometry.of(structured).select(slice(0, 1))
    guess = fit_shapelets(few, known, WHOLE_FIT.model_copy(update={"steps": 0}), lens_light=True)
    solved = fit_shapelets(few, known, WHOLE_FIT, lens_light=True)
    assert (guess.chi2_dof > solved.chi2_dof).all()
