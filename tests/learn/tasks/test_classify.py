"""Classification."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
import torch

from learn.finetune import finetune
from learn.lens_fits.lens_fits import NAMES, LensFits
from learn.splits import Split
from learn.tasks import classify
from learn.tasks.classify import calibration_error, classification_metrics
from simulate import shards
from tests.learn.conftest import QUICK_FIT


def test_classification_from_a_pretrained_encoder(
    model2: Path, encoder_run: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config(
        "classify", data=model2, encoder=str(encoder_run), out=tmp_path / "run"
    )
    folder, made = finetune(config)
    assert made
    metrics = json.loads((folder / "metrics.json").read_text())
    wanted = {"accuracy", "macro_auc", "auc", "f1", "confusion"}
    radial = {"radial_accuracy", "radial_macro_auc", "radial_auc", "radial_ece"}
    about = {"ece", "flagged", "test_images", "intervals"}
    assert wanted | about | radial == set(metrics) - {"unflagged"}
    assert metrics["test_images"] == 6
    low, high = metrics["intervals"]["accuracy"]
    assert low <= metrics["accuracy"] <= high
    assert set(metrics["auc"]) == {"no_sub", "cdm", "axion"}
    assert np.sum(metrics["confusion"]) == 6
    with h5py.File(folder / "predictions.h5") as file:
        assert file["prediction"].shape == (6, 3)
        np.testing.assert_allclose(file["prediction"][()].sum(1), 1, rtol=1e-5)
        data = shards.read(model2)
        np.testing.assert_array_equal(file["label"][()], data.label[file["index"][()]])
    for name in ("loss.png", "roc.png", "confusion.png", "model.safetensors", "encoder.json"):
        assert (folder / name).is_file()
    assert finetune(config) == (folder, False)


def test_statistics_of_lens_fits_are_a_baseline_that_is_saved_with_the_weights(
    model2: Path, tmp_path: Path, untrained_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, data = untrained_task("classify", model2, QUICK_FIT)
    count, width = len(data), module.detection.width
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(count, width)) * np.exp(2 * data.label)[:, None]
    fits = LensFits(
        NAMES,
        torch.zeros(count, len(NAMES)),
        torch.zeros(count, len(NAMES), len(NAMES)),
        torch.ones(count),
        torch.ones(count, dtype=torch.bool),
        statistics=torch.from_numpy(signal).float(),
    )
    rows, predictions = np.arange(count), torch.full((count, 3), 1 / 3)
    module.calibrate(predictions, data, Split(rows, rows, rows), fits)
    metrics = module.measure(predictions, data, rows, fits)
    assert metrics["detection_accuracy"] > 0.9
    assert metrics["detection_macro_auc"] > 0.9
    other, _ = untrained_task("classify", model2, QUICK_FIT)
    other.load_state_dict(module.state_dict())
    assert other.measure(predictions, data, rows, fits) == metrics
    drawn = Mock()
    monkeypatch.setattr(classify, "draw_roc", drawn)
    other.draw(predictions, data, rows, metrics, tmp_path, fits)
    assert list(drawn.call_args.args[1]) == ["encoder", "radial", "detection"]


def test_classification_metrics_of_a_known_case() -> None:
    probability = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]])
    metrics = classification_metrics(probability, np.array([0, 0, 1, 1]), ["a", "b"])
    assert metrics["accuracy"] == 0.75
    assert metrics["auc"] == {"a": 0.75, "b": 0.75}
    assert metrics["confusion"] == [[2, 0], [1, 1]]


def test_non_lenses_are_one_more_class_to_classification(
    non_lenses: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = ("optimizer.epochs=1",)
    folder, _ = finetune(finetune_config("classify", sets, data=non_lenses, out=tmp_path / "run"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics["auc"]) == ["no_sub", "cdm", "axion", "non_lens"]
    assert 0 <= metrics["ece"] <= 1


def test_calibration_error_of_known_cases() -> None:
    sure = np.array([[1.0, 0.0]] * 4)
    assert calibration_error(sure, np.zeros(4, int)) == 0
    assert calibration_error(sure, np.array([0, 0, 0, 1])) == pytest.approx(0.25)
    unsure = np.array([[0.7, 0.3]] * 10 + [[0.2, 0.8]] * 10)
    truth = np.array([0] * 7 + [1] * 3 + [1] * 6 + [0] * 4)
    assert calibration_error(unsure, truth) == pytest.approx(0.1), "half by 0, half by 0.2"


def test_classes_that_have_no_images_are_left_out_of_the_auc() -> None:
    probability = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    metrics = classification_metrics(probability, np.array([0, 1]), ["a", "b", "c"])
    assert metrics["auc"] == {"a": 1.0, "b": 1.0}
    alone = classification_metrics(probability, np.array([0, 0]), ["a", "b", "c"])
    assert (alone["auc"], alone["macro_auc"]) == ({}, None)
