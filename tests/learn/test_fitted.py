"""What heads make of the lens that was fitted to an image."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import lensphys as lp
from learn.data import Batch, Stretch
from learn.finetune import finetune
from learn.inference.evaluate import evaluate, served
from learn.inference.export import export
from learn.inference.model import load_model
from learn.lens_fits.parameters import FACTS, NAMES, Fit, facts
from learn.lens_fits.population import Population
from learn.networks.encoder import Encoder
from learn.networks.head import Facts
from learn.tasks import task_class
from learn.tasks.base import Task
from learn.tasks.superres import bicubic, fitted_detail
from learn.views.symmetries import turned_fit
from lensphys.fitting.scene import LensScene
from lensphys.ground.config import checked
from lensphys.ground.errors import InputError
from lensphys.rendering import Pixels
from simulate import shards
from simulate.augment.transforms import turned
from simulate.dataset.photometry import Photometry
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import DataSet

PRIOR = "scratch_encoder.prior={steps: 50, residual: fit, response: true, source_plane: true}"
#: What is no lens takes long to fit.
QUICK = PRIOR.replace("50", "16")
KEYS = {
    "classify": "sees_fit",
    "regress": "from_fit",
    "find": "sees_fit",
    "superres": "renders_fit",
}
SMALL = {"superres": ("params.width=4", "params.blocks=1")}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lenses and look-alikes, at low resolution too."""
    config = load_simulate_config(
        2,
        "physical",
        ["non_lens.fraction=0.25"],
        n=24,
        pairs=2,
        workers=1,
        device="cpu",
        out=tmp_path_factory.mktemp("mixed") / "data",
    )
    return simulate(config)[0]


def made(task: str, path: Path, finetune_config: Any, *sets: str) -> tuple[Task, DataSet]:
    """A task before its training."""
    config = finetune_config(task, (*SMALL.get(task, ()), *sets), data=path)
    kind, data = task_class(task), shards.read(path)
    everything = np.arange(len(data))
    params = checked(kind.Params, config.params, "params")
    params = kind.resolved(params, data, everything, lambda line: None)
    config = config.model_copy(update={"params": params})
    torch.manual_seed(0)
    encoder = Encoder(config.scratch_encoder)
    stretch = Stretch.fit(torch.from_numpy(kind.inputs(data)), config.stretch)
    return kind(config, encoder, stretch, data, everything, 1).eval(), data


def random_fit(count: int, *, lens_light: bool = False) -> Fit:
    """Fits in double precision, about a lens that could be."""
    names = LensScene("EPL", lens_light=lens_light).names
    usual = {"theta_E": 1.2, "gamma": 2.0, "R_sersic": 0.3, "n_sersic": 1.5, "amplitude": 20.0}
    params = {
        name: usual.get(name.removeprefix("source_").removeprefix("lens_light_"), 0.0)
        + 0.1 * torch.rand(count, dtype=torch.float64)
        for name in names
    }
    half = torch.rand(count, len(names), len(names), dtype=torch.float64) - 0.5
    covariance = half @ half.mT / len(names)
    return Fit(params, covariance, torch.ones(count), torch.ones(count, dtype=torch.bool))


def compared(fit: Fit) -> Fit:
    """With its own population."""
    population = Population()
    population.learn(fit)
    return population.compared(fit)


def grid(side: int) -> Pixels:
    return Pixels(*lp.pixel_grid((side, side), 0.2, dtype=torch.float64))


def test_turned_fits_are_lenses_of_turned_images() -> None:
    fit, symmetry = random_fit(8, lens_light=True), torch.arange(8)
    before = fit.scene.image(fit.params, grid(24))[:, None]
    after = fit.scene.image(turned_fit(fit, symmetry).params, grid(24))[:, None]
    torch.testing.assert_close(after, turned(before, symmetry), rtol=1e-9, atol=1e-9)


def test_errors_turn_like_those_of_a_turned_image() -> None:
    """Against the Fisher matrix at the parameters of the turned lens."""

    def with_errors(fit: Fit) -> Fit:
        slopes = fit.scene.image_and_jacobian(fit.params, grid(24))[:, 1:].flatten(2)
        return fit._replace(covariance=torch.linalg.inv(slopes @ slopes.mT))

    fit, symmetry = with_errors(random_fit(8)), torch.arange(8)
    found = turned_fit(fit, symmetry)
    expected = with_errors(found)
    for name, values in found.errors.items():
        torch.testing.assert_close(values, expected.errors[name], rtol=1e-5, atol=0.0, msg=name)
        assert (values > 0).all()
    scale = torch.stack(list(found.errors.values()), 1)
    scale = scale[:, :, None] * scale[:, None]
    torch.testing.assert_close(
        found.covariance / scale, expected.covariance / scale, rtol=0.0, atol=1e-5
    )


def test_what_is_told_of_a_broken_fit_is_finite() -> None:
    count, width = 3, len(NAMES)
    params, covariance = np.ones((count, width)), np.tile(np.eye(width), (count, 1, 1))
    params[0, 2], covariance[1, 3, 3], covariance[2, 4, 4] = np.nan, np.inf, -1.0
    fit = Fit.of(NAMES, params, covariance, np.ones(count), np.ones(count, bool))
    assert fit.converged.tolist() == [False, True, True]
    told = facts(compared(fit))
    assert told.shape == (count, FACTS)
    assert told.isfinite().all()
    assert told.abs().max() <= 30.0
    assert torch.isinf(fit.errors[NAMES[3]][1])
    assert torch.isinf(fit.errors[NAMES[4]][2])


def test_an_untrained_head_says_what_the_fit_says(noisy: Path, finetune_config: Any) -> None:
    columns = "params.columns=[theta_E, gamma1, source_R_sersic, log10_axion_mass]"
    module, data = made("regress", noisy, finetune_config, PRIOR, columns)
    memory = served(module, data, "cpu")
    assert memory.fit is not None
    mean, sigma = module.predict_batch(memory[torch.arange(48)]).unbind(1)
    for k, name in enumerate(("theta_E", "gamma1", "source_R_sersic")):
        value, error = memory.fit.params[name], memory.fit.errors[name]
        scatter, middle = module.std[k].item(), module.mean[k].item()
        sound = memory.fit.converged & ((value - middle).abs() < 5 * scatter)
        assert sound.float().mean() > 0.8
        torch.testing.assert_close(mean[sound, k].float(), value[sound], rtol=1e-5, atol=1e-6)
        expected = error.clamp(1e-4 * scatter, scatter)[sound]
        torch.testing.assert_close(sigma[sound, k].float(), expected, rtol=1e-4, atol=0.0)
    assert mean[:, 3].std() > 0, "of what no fit knows the head has its own opinion"


def test_published_labels_are_no_start_where_deflections_are_scaled(
    pairs: Path, finetune_config: Any
) -> None:
    assert shards.read(pairs).attrs["alpha_scale"] != 1.0
    module, data = made("regress", pairs, finetune_config, PRIOR)
    params = module.params.model_copy(update={"columns": ["theta_E", "gamma1", "source_center_x"]})
    module.setup_head(params, data, np.arange(len(data)))
    assert module.fitted.tolist() == [False, False, True]


@pytest.mark.parametrize("task", list(KEYS))
def test_without_a_lens_prior_or_the_key_the_network_is_the_plain_one(
    task: str, mixed: Path, finetune_config: Any
) -> None:
    off = f"params.{KEYS[task]}=false"
    plain, _ = made(task, mixed, finetune_config, off)
    blind, _ = made(task, mixed, finetune_config)
    without, data = made(task, mixed, finetune_config, QUICK, off)
    whole, _ = made(task, mixed, finetune_config, QUICK)
    assert plain.state_dict().keys() == blind.state_dict().keys()
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(weights, blind.state_dict()[name], equal_nan=True)
    own = {name: w.shape for name, w in plain.state_dict().items() if "encoder" not in name}
    seen = {name: w.shape for name, w in without.state_dict().items() if "encoder" not in name}
    assert seen.pop("exposure") == ()
    assert own == seen
    more = {name: w.shape for name, w in whole.state_dict().items() if "encoder" not in name}
    assert more != seen
    memory = served(without, data, "cpu")
    assert memory.detail is None
    batch = memory[torch.arange(8)]
    with torch.no_grad():
        bare = without.predict_batch(batch._replace(fit=None))
        torch.testing.assert_close(without.predict_batch(batch), bare)
    assert without.measure_fit(memory, data, np.arange(8)) == {}


def test_a_finder_listens_to_chi2(mixed: Path, finetune_config: Any) -> None:
    module, data = made("find", mixed, finetune_config, QUICK)
    batch = served(module, data, "cpu")[torch.arange(8)]
    assert batch.fit is not None
    worse = batch._replace(fit=batch.fit._replace(chi2_dof=10 * batch.fit.chi2_dof))
    with torch.no_grad():
        assert not torch.allclose(module.predict_batch(batch), module.predict_batch(worse))


@pytest.fixture(scope="module")
def smooth_pairs(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Lenses without noise or substructure, at 64 and 32 pixels."""
    folder = tmp_path_factory.mktemp("smooth") / "data"
    config = load_simulate_config(
        2, n=24, workers=1, out=folder, device="cpu", classes=("no_sub",), pairs=2
    )
    return shards.read(simulate(config)[0])


def test_a_smooth_lens_is_known_at_high_resolution(
    smooth_pairs: DataSet, finetune_config: Any
) -> None:
    """The untrained network draws it, in the unit of the images and with the right PSF."""
    module, data = made("superres", smooth_pairs.path, finetune_config, PRIOR)
    memory = served(module, data, "cpu")
    assert memory.fit is not None
    known = memory.fit.converged
    assert known.float().mean() > 0.7
    with torch.no_grad():
        found = module.predict_batch(memory[torch.arange(len(data))])
    truth, low = torch.from_numpy(data.image), torch.from_numpy(data.image_lr)
    plain = (bicubic(low, 2) / 4 - truth)[known].abs().mean()
    assert (found - truth)[known].abs().mean() < 0.05 * plain
    metrics = module.measure_fit(memory, data, np.flatnonzero(known))
    assert metrics["fit_psnr"] > module.measure(found, data, np.arange(24))["bicubic_psnr"] + 20
    torch.testing.assert_close(found[~known], bicubic(low, 2)[~known] / 4, rtol=1e-4, atol=1e-5)


def test_the_detail_of_a_fit_is_in_the_unit_of_the_image(smooth_pairs: DataSet) -> None:
    fit = random_fit(4).changed(torch.Tensor.float)
    fit = fit._replace(converged=torch.tensor([True, True, False, True]))
    low, high = (
        Photometry.of(smooth_pairs, column).select(slice(0, 4)) for column in ("image_lr", "image")
    )
    counts = [dataclasses.replace(p, rate=p.rate / [1, 2, 3, 4]) for p in (low, high)]
    detail = fitted_detail(fit, (32, 32), low, high, 2)
    assert detail.shape == (4, 1, 64, 64)
    assert (detail.flatten(1).abs().amax(1) > 0).tolist() == [True, True, False, True]
    times = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None]
    torch.testing.assert_close(fitted_detail(fit, (32, 32), *counts, 2), times * detail)


def test_detail_turns_with_its_image(smooth_pairs: DataSet) -> None:
    fit, symmetry = random_fit(8).changed(torch.Tensor.float), torch.arange(8)
    fit = fit._replace(converged=torch.ones(8, dtype=torch.bool))
    low, high = (
        Photometry.of(smooth_pairs, column).select(slice(0, 8)) for column in ("image_lr", "image")
    )
    draw = functools.partial(fitted_detail, shape=(32, 32), low=low, high=high, factor=2)
    expected = turned(draw(fit), symmetry)
    found = draw(turned_fit(fit, symmetry))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_flux_is_kept_whatever_the_lens(smooth_pairs: DataSet, finetune_config: Any) -> None:
    module, data = made("superres", smooth_pairs.path, finetune_config, PRIOR)
    torch.nn.init.normal_(module.last.weight)
    batch = served(module, data, "cpu")[torch.arange(24)]
    assert batch.detail is not None
    batch = batch._replace(detail=batch.detail + batch.detail.abs().max())
    with torch.no_grad():
        high = module.predict_batch(batch).double()
    low = torch.from_numpy(data.image_lr).double()
    lost = (high.sum((1, 2, 3)) - low.sum((1, 2, 3))).abs()
    assert (lost < 2e-6 * high.abs().sum((1, 2, 3))).all()


@pytest.mark.parametrize("task", list(KEYS))
def test_a_run_that_builds_on_fits_is_a_run_like_any_other(
    task: str, mixed: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = (QUICK, *SMALL.get(task, ()))
    run, _ = finetune(finetune_config(task, sets, data=mixed, out=tmp_path / "run"))
    told = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == told
    data, model = shards.read(mixed), load_model(run)
    if task == "regress":
        assert told["fit_mae"].keys() == told["fit_coverage68"].keys()
        assert "theta_E" in told["fit_mae"]
        assert "log10_axion_mass" not in told["fit_mae"]
    assert ("fit_psnr" in told) == (task == "superres")
    with h5py.File(run / "predictions.h5") as file:
        rows = file["index"][()]
        wanted = file["log_odds" if task == "find" else "prediction"][()]
    images = data.image_lr if task == "superres" else data.image
    assert images is not None
    with torch.inference_mode():
        found = model(images[rows]).numpy()
        assert np.array_equal(load_model(export(run))(images[rows]).numpy(), found)
    found = found[:, 0] if task == "regress" else found
    difference = np.abs(found - wanted).reshape(len(rows), -1).max(1)
    assert np.median(difference) < 1e-3 * np.abs(wanted).max(), "fits of other batches round anew"


def test_facts_are_told_in_units_of_their_scatter_in_training(finetune_config: Any) -> None:
    """As training sees them: turned where it turns its images."""
    fit = compared(random_fit(40))
    head = Facts(8).double()
    head.standardise(fit, turned=False)
    inputs = facts(fit).double()
    scaled = (inputs - head.mean) / head.std
    varies = inputs.std(0) > 0
    torch.testing.assert_close(scaled.mean(0), torch.zeros_like(scaled[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        scaled.std(0, correction=0)[varies], torch.ones(int(varies.sum())).double()
    )
    assert not varies.all()  # all have converged: what is constant has no unit
    torch.testing.assert_close(head.std[~varies], torch.ones(int((~varies).sum())).double())
    # A fit that is far from all others says no more than that.
    assert fit.deviation is not None
    far = [
        fit._replace(deviation={name: times * v for name, v in fit.deviation.items()})
        for times in (1e9, 1e12)
    ]
    with torch.no_grad():
        torch.testing.assert_close(*(head(one) for one in far))


@pytest.mark.parametrize("augment", [True, False])
def test_heads_know_the_fits_of_turned_images(
    mixed: Path, finetune_config: Any, augment: bool
) -> None:
    module, _ = made("classify", mixed, finetune_config, QUICK, f"augment={augment}")
    fit = module.know_fits(random_fit(16), torch.arange(12)).rows(torch.arange(12))
    told = module.head.facts
    assert isinstance(told, Facts)
    center = NAMES.index("source_center_x")
    expected = 0.0 if augment else fit.params["source_center_x"].asinh().mean().item()
    assert told.mean[center].item() == pytest.approx(expected, abs=1e-6)
    assert "head.facts.mean" in module.state_dict()


def test_fits_are_compared_with_the_population_before_they_are_turned(
    mixed: Path, finetune_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, data = made("classify", mixed, finetune_config, QUICK, "augment=true")
    memory = served(module, data, "cpu")
    assert memory.fit is not None
    memory.fit = module.know_fits(memory.fit, torch.arange(len(data)))
    seen: list[Fit] = []

    def caught(batch: Batch) -> torch.Tensor:
        assert batch.fit is not None
        seen.append(batch.fit)
        return torch.zeros(())

    monkeypatch.setattr(module, "loss", caught)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.training_step(memory[torch.arange(len(data))], 0)
    assert module.facts is not None

    def length(fit: Fit) -> torch.Tensor:
        assert fit.deviation is not None
        return torch.stack(list(fit.deviation.values()), 1).norm(dim=1)

    whole = module.facts.population.compared(memory.fit)
    torch.testing.assert_close(length(seen[0]), length(whole))
    assert not torch.equal(seen[0].params["center_x"], memory.fit.params["center_x"])


def test_a_batch_carries_the_fits_of_its_images(mixed: Path, finetune_config: Any) -> None:
    module, data = made("find", mixed, finetune_config, QUICK)
    memory, rows = served(module, data, "cpu"), torch.tensor([5, 0, 3])
    batch: Batch = memory[rows]
    assert memory.fit is not None
    assert batch.fit is not None
    for name, values in memory.fit.params.items():
        assert torch.equal(batch.fit.params[name], values[rows])


def test_pairs_without_a_psf_are_refused_by_name(mixed: Path, finetune_config: Any) -> None:
    module, data = made("superres", mixed, finetune_config, QUICK)
    attrs = {key: value for key, value in data.attrs.items() if key != "psf_fwhm"}
    with pytest.raises(InputError, match="does not say its psf_fwhm"):
        served(module, dataclasses.replace(data, attrs=attrs), "cpu")
