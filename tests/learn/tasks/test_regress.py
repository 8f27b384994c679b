"""Regression of columns."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.special import ndtri

from learn.data import InMemory
from learn.data_description import describe
from learn.finetune import finetune
from learn.splits import Split
from learn.tasks.regress import Regress, regression_metrics
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.shards import DataSet
from tests.learn.conftest import LENS_FIT

COLUMNS = ["source_center_x", "source_center_y", "log10_axion_mass"]


@pytest.fixture
def module(model2: Path, untrained_task: Any) -> Regress:
    task: Regress = untrained_task("regress", model2, f"params.columns={COLUMNS}")[0]
    return task


def test_regression_of_all_that_varies_beside_two_baselines(
    model2: Path, tmp_path: Path, finetune_config: Any
) -> None:
    notes: list[str] = []
    config = finetune_config("regress", data=model2, out=tmp_path / "run")
    folder, _ = finetune(config, notes.append)
    metrics = json.loads((folder / "metrics.json").read_text())
    measures = {"mae", "r2", "coverage68", "coverage95", "mean_mae", "radial_mae", "temperature"}
    assert measures <= set(metrics)
    assert list(metrics["mae"]) == COLUMNS
    assert metrics["images"] == dict(zip(COLUMNS, (6, 6, 2), strict=True))
    assert len(notes) == 1
    assert notes[0].startswith("left out, constant or unknown in the training images: theta_E, e1")
    assert "- source_center_y" in (folder / "config.yaml").read_text()
    with h5py.File(folder / "predictions.h5") as file:
        assert file.attrs["columns"].tolist() == COLUMNS
        prediction, sigma, truth = (file[name][()] for name in ("prediction", "sigma", "truth"))
        data = shards.read(model2)
        np.testing.assert_array_equal(truth[:, 0], data.params[COLUMNS[0]][file["index"][()]])
    assert prediction.shape == sigma.shape == (6, 3)
    assert (sigma > 0).all()
    error = np.abs(prediction - truth)[:, 0].mean()
    assert metrics["mae"]["source_center_x"] == pytest.approx(error, rel=1e-6)
    for name in ("loss.png", "regression.png", "calibration.png"):
        assert (folder / name).is_file()
    assert finetune(config, notes.append) == (folder, False)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("[theta_E]", "theta_E is constant"),
        ("[source_center]", "no column 'source_center' .did you mean 'source_center_"),
        ("[source_center_x, source_center_x]", "each column once"),
        ("[]", "params: columns"),
    ],
)
def test_columns_that_cannot_be_learnt_are_refused_by_name(
    model2: Path, tmp_path: Path, finetune_config: Any, columns: str, message: str
) -> None:
    sets = (f"params.columns={columns}",)
    with pytest.raises(InputError, match=message):
        finetune(finetune_config("regress", sets, data=model2, out=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_columns_without_values_and_angles_are_refused(model2: Path, module: Regress) -> None:
    data = shards.read(model2)
    angle = {"vortex_angle": np.linspace(0, 3, 60), "gamma": np.full(60, np.nan)}
    data = dataclasses.replace(data, params=data.params | angle)
    for name, message in (("vortex_angle", "is an angle"), ("gamma", "no value")):
        params = module.params.model_copy(update={"columns": [name]})
        with pytest.raises(InputError, match=message):
            Regress.resolve_params(params, data, np.arange(60), lambda line: None)


def test_a_data_set_in_which_nothing_varies_names_the_command(
    model2: Path, module: Regress
) -> None:
    data = dataclasses.replace(shards.read(model2), params={"theta_E": np.ones(60)})
    params = module.params.model_copy(update={"columns": None})
    with pytest.raises(InputError, match="simulate --model 2 --preset physical"):
        Regress.resolve_params(params, data, np.arange(60), lambda line: None)


def test_the_loss_is_the_gaussian_likelihood_of_the_known_values(
    model2: Path, module: Regress
) -> None:
    data = shards.read(model2)
    batch = InMemory(data, with_params=True)[torch.arange(60)]
    mean, sigma = module.predict_batch(batch).transpose(0, 1)
    truth = torch.stack([batch.params[name] for name in COLUMNS], 1)
    z, log_sigma = (truth - mean) / sigma, (sigma / module.std).log()
    known = truth.isfinite()
    assert known.sum(0).tolist() == [60, 60, 20]
    expected = (0.5 * z**2 + log_sigma)[known].mean()
    assert module.validation_score(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_images_without_a_value_do_not_train_its_column(model2: Path, module: Regress) -> None:
    data = shards.read(model2)
    no_axion = torch.from_numpy(np.flatnonzero(np.isnan(data.params["log10_axion_mass"])))
    module.loss(InMemory(data, with_params=True)[no_axion]).backward()
    gradient = module.head.last.weight.grad
    assert gradient[[2, 5]].abs().max() == 0
    assert (gradient[[0, 1, 3, 4]].abs().amax(1) > 0).all()
    unknown = {name: np.full(60, np.nan) for name in data.params}
    nothing = InMemory(dataclasses.replace(data, params=unknown), with_params=True)
    assert module.loss(nothing[torch.arange(4)]).item() == 0


def test_uncertainties_that_are_too_small_are_widened_by_validation(
    model2: Path, module: Regress
) -> None:
    rng = np.random.default_rng(0)
    data = gaussian_data(shards.read(model2), rng)
    everything = np.arange(60)
    truth = np.stack([data.params[name] for name in COLUMNS], 1)
    sigma = np.full_like(truth, 0.1)
    mean = truth + 2 * sigma * rng.standard_normal(truth.shape)
    predictions = torch.from_numpy(np.stack([mean, sigma], 1))
    module.calibrate(predictions, data, Split(everything, everything, everything))
    np.testing.assert_allclose(module.temperature, 2, rtol=0.25)
    z = np.abs(mean - truth) / (0.1 * module.temperature.numpy())
    np.testing.assert_allclose((z <= ndtri(0.84)).mean(0), 0.68, atol=1 / 60)

    before = module.temperature.clone()
    predictions[np.abs(mean - truth).argmax(0), 0, np.arange(len(COLUMNS))] += 1e3
    module.calibrate(predictions, data, Split(everything, everything, everything))
    np.testing.assert_allclose(module.temperature, before)  # far off is far off


def gaussian_data(data: DataSet, rng: np.random.Generator) -> DataSet:
    params = {name: rng.standard_normal(len(data)) for name in COLUMNS}
    return dataclasses.replace(data, params=data.params | params)


def test_metrics_of_a_gaussian_with_right_uncertainties() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((20000, 2))
    truth[::2, 1] = np.nan
    sigma = rng.uniform(0.1, 0.3, truth.shape)
    mean = truth + sigma * rng.standard_normal(truth.shape)
    metrics = regression_metrics(mean, sigma, truth, ["a", "b"])
    assert metrics["images"] == {"a": 20000, "b": 10000}
    for name in "ab":
        assert metrics["coverage68"][name] == pytest.approx(0.68, abs=0.015)
        assert metrics["coverage95"][name] == pytest.approx(0.95, abs=0.007)
        # E|N(0, s)| = s sqrt(2 / pi); E s^2 over 0.1 ... 0.3 is 0.0433
        assert metrics["mae"][name] == pytest.approx(0.2 * np.sqrt(2 / np.pi), rel=0.03)
        assert metrics["r2"][name] == pytest.approx(1 - 0.0433, abs=0.003)


def test_metrics_leave_out_unknown_values() -> None:
    truth = np.array([[1.0, np.nan], [1.0, np.nan]])
    metrics = regression_metrics(truth * 0 + 2, np.ones((2, 2)), truth, ["constant", "unknown"])
    assert metrics["mae"] == {"constant": 1.0}
    assert metrics["r2"] == {}
    assert metrics["images"] == {"constant": 2, "unknown": 0}


def test_an_untrained_head_predicts_the_fit(noisy: Path, untrained_task: Any) -> None:
    columns = "params.columns=[theta_E, gamma1, source_R_sersic, log10_axion_mass]"
    module, data = untrained_task("regress", noisy, LENS_FIT, columns)
    memory = module.load(data, "cpu")
    assert memory.fits is not None
    mean, sigma = module.predict_batch(memory[torch.arange(48)]).unbind(1)
    for k, name in enumerate(("theta_E", "gamma1", "source_R_sersic")):
        value, error = memory.fits.params[name], memory.fits.errors[name]
        scatter, middle = module.std[k].item(), module.mean[k].item()
        sound = memory.fits.converged & ((value - middle).abs() < 5 * scatter)
        assert sound.float().mean() > 0.8
        torch.testing.assert_close(mean[sound, k].float(), value[sound], rtol=1e-5, atol=1e-6)
        expected = error.clamp(1e-4 * scatter, scatter)[sound]
        torch.testing.assert_close(sigma[sound, k].float(), expected, rtol=1e-4, atol=0.0)
    assert mean[:, 3].std() > 0, "a column that no fit has is predicted from the image"


def test_published_labels_are_no_start_where_deflections_are_scaled(
    pairs: Path, untrained_task: Any
) -> None:
    assert shards.read(pairs).attrs["alpha_scale"] != 1.0
    module, data = untrained_task("regress", pairs, LENS_FIT)
    params = module.params.model_copy(update={"columns": ["theta_E", "gamma1", "source_center_x"]})
    module.build_head(params, describe(data))
    assert module.fitted.tolist() == [False, False, True]
