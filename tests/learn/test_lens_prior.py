import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

import lensphys as lp
from learn.config import PriorConfig
from learn.data import InMemory
from learn.lens_fits import store
from learn.lens_fits.channels import (
    CHANNELS,
    FittedImages,
    fit_images,
    parameter_names,
    prior_of_images,
    recipe,
)
from learn.lens_fits.report import PICTURE, REPORT, prior_metrics, write_prior_report
from learn.lens_fits.store import LensPrior, lens_prior
from learn.views.symmetries import turned_prior
from lensphys.ground.errors import InputError
from lensphys.ground.locks import held_in_turn
from simulate.augment.transforms import turned
from simulate.dataset.photometry import Photometry
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet, read

FULL = PriorConfig(steps=50, residual="fit", response=True, source_plane=True)


def made(folder: Path, n: int, **overrides: Any) -> DataSet:
    config = load_simulate_config(
        3, "physical", n=n, workers=1, out=folder, device="cpu", **overrides
    )
    return read(simulate(config)[0])


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Lenses without substructure."""
    return made(tmp_path_factory.mktemp("smooth") / "data", 24, classes=("no_sub",))


def channel(prior: LensPrior, name: str) -> np.ndarray[Any, Any]:
    return prior.channels[:][:, CHANNELS.index(name)].astype(np.float64)


def test_a_smooth_lens_leaves_noise_alone(smooth: DataSet) -> None:
    prior = lens_prior(smooth, FULL)
    assert prior.converged.mean() > 0.9
    assert np.median(prior.chi2_dof) == pytest.approx(1.0, abs=0.02)
    residual = channel(prior, "residual")[prior.chi2_dof < 1.1]
    assert residual.std() == pytest.approx(1.0, abs=0.02)
    assert residual.mean() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("column", ["image", "image_lr"])
def test_large_and_coarse_images_are_met_too(tmp_path: Path, column: str) -> None:
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
    prior = lens_prior(data, FULL, column)
    images = data.image if column == "image" else data.image_lr
    assert images is not None
    np.testing.assert_allclose(prior.chi2_dof, 1.0, atol=5 * np.sqrt(2 / images[0].size))
    assert np.abs(channel(prior, "residual")).max() < 7.0


def test_counts_that_were_cut_off_at_zero_are_met_on_average(tmp_path: Path) -> None:
    config = load_simulate_config(
        1, n=6, workers=1, out=tmp_path / "data", device="cpu", classes=("no_sub",)
    )
    prior = lens_prior(read(simulate(config)[0]), FULL)
    assert np.median(prior.chi2_dof) == pytest.approx(1.0, abs=0.03)
    assert np.median(prior.column("source_R_sersic")) == pytest.approx(0.25, rel=0.05)
    assert channel(prior, "residual").mean() == pytest.approx(0.0, abs=0.05)


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
    part = fit_images(torch.from_numpy(data.image[rows, 0]), known, FULL, False)
    found = dict(zip(parameter_names(known, FULL, False), part["params"].T, strict=True))
    assert np.hypot(found["center_x"], found["center_y"]).max() < 0.03, "arcsec; all are centred"
    np.testing.assert_allclose(found["e1"], 0.1, atol=0.03)


def test_an_image_that_cannot_be_fitted_spoils_no_other(
    smooth: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = FittedImages.channels

    def broken(self: FittedImages, **given: Any) -> torch.Tensor:
        found = channels(self, **given)
        found[0, 0, 3, 3] = torch.nan
        return found

    monkeypatch.setattr(FittedImages, "channels", broken)
    flux, known = torch.from_numpy(smooth.image[:3]), Photometry.of(smooth).select(slice(0, 3))
    part = fit_images(flux[:, 0], known, FULL, False)
    assert np.isfinite(part["channels"]).all()
    assert part["converged"].tolist()[0] is False


def test_the_einstein_radius_is_found_within_its_errors(smooth: DataSet) -> None:
    metrics = prior_metrics(smooth, lens_prior(smooth, FULL))
    assert metrics["theta_E_error"] < 0.005
    assert 0.3 < metrics["theta_E_pull"] < 1.2, "0.67 for exact errors"


def test_the_response_is_what_a_small_deflection_does(smooth: DataSet) -> None:
    """Against the image of a source that moves the other way."""
    prior, known = lens_prior(smooth, FULL), Photometry.of(smooth)
    x, y = lp.pixel_grid(64, known.pixel_scale)
    psf = lp.GaussianPSF(fwhm=known.psf_fwhm, pixel_scale=known.pixel_scale, truncation=5.0)
    value = {name: torch.from_numpy(prior.column(name)) for name in prior.names}
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
    found = channel(prior, "response_x")
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_images_of_one_piece_of_the_source_meet_in_the_source_plane(smooth: DataSet) -> None:
    """The brightest pixels of every image come from near the centre of the source."""
    prior = lens_prior(smooth, FULL)
    distance = np.hypot(channel(prior, "beta_x"), channel(prior, "beta_y"))
    flux = smooth.image[:, 0]
    for image, far in zip(flux, distance, strict=True):
        brightest = image > 0.7 * image.max()
        assert np.median(far[brightest]) < np.median(far[~brightest])


def test_each_image_is_fitted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(tmp_path / "data", 9)
    fitted: list[int] = []
    monkeypatch.setattr(store, "fit_images", lambda *a: fitted.append(len(a[0])) or fit_images(*a))
    whole = lens_prior(data, FULL)
    assert sum(fitted) == 9
    some = lens_prior(read(data.path, ["cdm"]), FULL)
    assert sum(fitted) == 9, "a selection of the same images"
    np.testing.assert_array_equal(some.channels[:], whole.channels[data.label == 1])
    other = FULL.model_copy(update={"response": False, "source_plane": False})
    lens_prior(data, other)
    assert sum(fitted) == 9, "what an encoder sees of it is chosen later"
    data.image[4] *= 1.01
    lens_prior(data, FULL)
    assert sum(fitted) == 10, "one image has changed"


def test_processes_that_train_together_fit_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made(tmp_path / "data", 5)
    first = lens_prior(data, FULL)
    (folder,) = data.path.glob("lens-prior-*")
    (part,) = folder.glob("part-*.h5")
    part.rename(tmp_path / part.name)
    monkeypatch.setattr(store, "fit_images", lambda *a: pytest.fail("fitted again"))
    with ThreadPoolExecutor() as pool:
        with held_in_turn(folder):  # as by the process that fits
            waiting = pool.submit(lens_prior, data, FULL)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            (tmp_path / part.name).rename(part)
        np.testing.assert_array_equal(waiting.result(timeout=60).params, first.params)


def test_an_interrupted_pass_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PART", 4)
    data = made(tmp_path / "data", 9)
    whole = lens_prior(data, FULL)
    (folder,) = data.path.glob("lens-prior-*")
    parts = sorted(folder.glob("part-*.h5"))
    assert len(parts) == 3
    parts[1].unlink()
    again = lens_prior(data, FULL)
    np.testing.assert_array_equal(again.channels[:], whole.channels[:])
    np.testing.assert_array_equal(again.params, whole.params)
    parts[0].write_bytes(b"damaged")
    with pytest.raises(InputError, match="is damaged; delete it"):
        lens_prior(data, FULL)


def test_a_data_set_with_a_prior_beside_it_is_still_whole(tmp_path: Path) -> None:
    data = made(tmp_path / "data", 6)
    lens_prior(data, FULL)
    again = made(tmp_path / "data", 6)
    np.testing.assert_array_equal(again.image, data.image)


def test_without_steps_the_nearest_template_stays(smooth: DataSet) -> None:
    guess = lens_prior(smooth, FULL.model_copy(update={"steps": 0}))
    solved = lens_prior(smooth, FULL)
    assert (guess.chi2_dof > 2 * solved.chi2_dof).all()


def test_the_control_is_the_image_less_its_local_mean(smooth: DataSet) -> None:
    control = lens_prior(smooth, FULL.model_copy(update={"residual": "high-pass"}))
    residual = channel(control, "residual")
    flux = smooth.image[:, 0].astype(np.float64)
    local = np.stack([uniform_filter(image, 5) for image in flux])
    corner = np.s_[:, 2:12, 2:12]
    expected = (flux - local)[corner] / Photometry.of(smooth).background_sigma
    np.testing.assert_allclose(residual[corner], expected, rtol=0.2, atol=0.05)
    np.testing.assert_array_equal(
        channel(control, "beta_x"), channel(lens_prior(smooth, FULL), "beta_x")
    )


def test_channels_turn_with_the_image() -> None:
    """The gradient of a turned map is the turned gradient."""
    height = torch.randn(8, 20, 20).cumsum(1).cumsum(2)
    slopes = [torch.gradient(image) for image in height]
    along, up = torch.stack([s[1] for s in slopes]), torch.stack([s[0] for s in slopes])
    channels = torch.stack([height, along, up, along, up, height], 1)
    after = turned_prior(channels, torch.arange(8))
    torch.testing.assert_close(after[:, :1], turned(height[:, None], torch.arange(8)))
    for image, found in zip(after[:, 0], after[:, 1:5], strict=True):
        up, along = torch.gradient(image)
        torch.testing.assert_close(found, torch.stack([along, up, along, up]))


def test_the_fit_of_a_turned_image_is_the_turned_fit(smooth: DataSet) -> None:
    rows = np.flatnonzero(lens_prior(smooth, FULL).chi2_dof < 1.1)[:4]
    known, flux = Photometry.of(smooth).select(rows), torch.from_numpy(smooth.image[rows])
    symmetry = torch.tensor([1, 3, 4, 6])
    before, _ = prior_of_images(flux, known, FULL, lens_light=False)
    after, _ = prior_of_images(turned(flux, symmetry), known, FULL, lens_light=False)
    expected = turned_prior(before, symmetry)
    difference = (after[:, 0] - expected[:, 0]).flatten(1).norm(dim=1) / 64
    assert difference.median() < 0.05, "sigma"


def test_the_report_says_how_good_the_fits_are(smooth: DataSet, tmp_path: Path) -> None:
    write_prior_report(smooth, lens_prior(smooth, FULL), tmp_path)
    metrics = json.loads((tmp_path / REPORT).read_text())
    assert metrics["images"] == 24
    assert metrics["chi2_dof"]["q05"] <= metrics["chi2_dof"]["median"] <= metrics["chi2_dof"]["q95"]
    assert (tmp_path / PICTURE).stat().st_size > 10_000


def test_noise_free_published_images_are_fitted_at_the_noise_of_their_instrument(
    tmp_path: Path,
) -> None:
    config = load_simulate_config(
        2, n=6, workers=1, out=tmp_path / "data", device="cpu", classes=("no_sub",)
    )
    prior = lens_prior(read(simulate(config)[0]), FULL)
    assert prior.chi2_dof.max() < 1e-4, "a smooth lens without noise is met exactly"
    assert np.isfinite(prior.channels[:]).all()


def test_a_data_set_that_does_not_say_its_psf_is_refused(smooth: DataSet) -> None:
    attrs = {key: value for key, value in smooth.attrs.items() if key != "psf_fwhm"}
    silent = DataSet(
        smooth.path, smooth.image, smooth.label, smooth.params, None, attrs, smooth.config
    )
    with pytest.raises(InputError, match="does not say its psf_fwhm"):
        lens_prior(silent, FULL)


def test_covariances_and_parameters_lie_beside_the_shards(smooth: DataSet) -> None:
    prior = lens_prior(smooth, FULL)
    for path in smooth.path.glob("lens-prior-*/part-*.h5"):
        with h5py.File(path) as file:
            assert file["covariance"].shape == (24, len(prior.names), len(prior.names))
            assert list(file.attrs["names"]) == list(prior.names)


def test_memory_holds_the_channels_of_a_batch_and_not_of_a_data_set(
    smooth: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, batch = 512, 16

    def marked(images: torch.Tensor, *_: Any) -> dict[str, np.ndarray[Any, Any]]:
        """In place of a fit: channels that say whose they are."""
        number = images[:, 0, 0].numpy()
        channels = np.broadcast_to(number[:, None, None, None], (len(images), 6, 64, 64))
        zeros = np.zeros((len(images), 15), np.float32)
        return {
            "params": zeros,
            "covariance": zeros[:, :, None] * zeros[:, None],
            "chi2_dof": zeros[:, 0],
            "converged": zeros[:, 0] == 0,
            "channels": channels.astype(np.float16),
        }

    monkeypatch.setattr(store, "fit_images", marked)
    monkeypatch.setattr(store, "_PART", 64)
    order = np.random.default_rng(0).permutation(count)
    image = np.broadcast_to(order[:, None, None, None], (count, 1, 64, 64)).astype(np.float32)
    params = {name: np.resize(values, count) for name, values in smooth.params.items()}
    data = DataSet(
        tmp_path, image, np.zeros(count, np.int64), params, None, smooth.attrs, smooth.config
    )
    tracemalloc.start()
    try:
        memory = InMemory(data, prior=lens_prior(data, FULL))
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for indices in torch.randperm(count).split(batch):
            channels = memory[indices].prior
            assert channels is not None
            expected = torch.from_numpy(order)[indices, None, None, None].float()
            assert torch.equal(channels, expected.expand(-1, 6, 64, 64))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    of_an_image = 6 * 64 * 64 * 2
    assert before < count * of_an_image / 8, "after the fit, nothing but parameters is kept"
    assert peak - before < 8 * batch * of_an_image
    assert after - before < batch * of_an_image


def test_files_of_earlier_versions_are_still_found(smooth: DataSet) -> None:
    """The fit is a function of this text and the image; with another it would be done again."""
    text = recipe(Photometry.of(smooth), FULL, False)
    assert text.startswith("[[4, 2000.0, 0.5, 128, 5], {")
    assert json.loads(text)[2:] == [{"steps": 50, "high_pass": False}, False]
