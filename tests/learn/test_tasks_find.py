import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.metrics import f1_score

from learn import load_model
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.tasks.classify import calibration_error, classification_metrics
from learn.tasks.find import Find, best_threshold, finding_metrics
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.light.look_alikes import NON_LENS_KINDS
from simulate.presets import load_simulate_config
from simulate.run import simulate


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_simulate_config(
        2,
        "published",
        ["non_lens.fraction=0.4"],
        n=50,
        workers=1,
        device="cpu",
        out=tmp_path_factory.mktemp("mixed") / "data",
    )
    return simulate(config)[0]


def test_finding_lenses_among_look_alikes(
    mixed: Path, tmp_path: Path, finetune_config: Any
) -> None:
    folder, _ = finetune(finetune_config("find", data=mixed, out=tmp_path / "run"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert evaluate(folder).metrics == metrics
    names = {"auc", "tpr_at_fpr_1e-2", "tpr_at_fpr_1e-3", "accuracy", "completeness", "purity"}
    assert names | {f"radial_{name}" for name in names} <= set(metrics)
    assert (metrics["lenses"], metrics["non_lenses"]) == (3, 2)
    assert set(metrics["false_positive_rate"]) <= set(NON_LENS_KINDS)
    data = shards.read(mixed)
    with h5py.File(folder / "predictions.h5") as file:
        truth, probability = file["truth"][()], file["prediction"][()]
        np.testing.assert_array_equal(truth, data.label[file["index"][()]] != 3)
        assert ((probability > 0) & (probability < 1)).all()
        called = probability >= file.attrs["threshold"]
    assert (called == truth).mean() == metrics["accuracy"]
    for name in ("loss.png", "roc.png", "look_alikes.png"):
        assert (folder / name).is_file()


def test_a_data_set_without_non_lenses_names_the_command(
    model2: Path, mixed: Path, tmp_path: Path, finetune_config: Any
) -> None:
    with pytest.raises(InputError, match=r"simulate .* --non-lens 0.5"):
        finetune(finetune_config("find", data=model2, out=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
    data = shards.read(mixed)
    for labels, what in ((np.zeros(50, int), "without a lens"), (np.full(50, 3), "no lenses")):
        with pytest.raises(InputError, match=what):
            Find.inputs(dataclasses.replace(data, label=labels))


def test_non_lenses_are_one_more_class_to_classification(
    mixed: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = ("optimizer.epochs=1",)
    folder, _ = finetune(finetune_config("classify", sets, data=mixed, out=tmp_path / "run"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert list(metrics["auc"]) == ["no_sub", "cdm", "axion", "non_lens"]
    assert 0 <= metrics["ece"] <= 1


def test_finding_metrics_of_a_known_case() -> None:
    """200 others from 0 to 1 and 4 lenses, of which two are above all others."""
    others = np.linspace(0, 1, 200)
    log_odds = np.concatenate([others, [2.0, 2.0, 0.9975, 0.5]])
    truth = np.arange(204) >= 200
    metrics = finding_metrics(log_odds, truth, threshold=0.9999)
    assert metrics["tpr_at_fpr_1e-3"] == 0.5
    assert metrics["tpr_at_fpr_1e-2"] == 0.75, "one other in 200 is above the third"
    assert metrics["completeness"] == 0.5
    assert metrics["purity"] == pytest.approx(2 / 3)
    assert metrics["accuracy"] == pytest.approx(201 / 204)
    assert metrics["threshold"] == pytest.approx(1 / (1 + np.exp(-0.9999)))
    assert finding_metrics(log_odds, truth, threshold=9)["purity"] == 0


def test_the_threshold_is_the_best_there_is() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    log_odds = rng.standard_normal(200) + 1.5 * truth
    found = f1_score(truth, log_odds >= best_threshold(log_odds, truth))
    assert found == max(f1_score(truth, log_odds >= cut) for cut in log_odds)


def test_a_table_calls_a_lens_what_the_metrics_call_one(
    mixed: Path, tmp_path: Path, finetune_config: Any
) -> None:
    folder, _ = finetune(finetune_config("find", data=mixed, out=tmp_path / "run"))
    task = load_model(folder).task
    at_the_threshold = task.threshold.reshape(1)
    assert task.table(at_the_threshold)["is_lens"].all()


def test_the_threshold_of_separate_images_is_half_way() -> None:
    assert best_threshold(np.array([0.0, 1.0, 3.0, 4.0]), np.array([0, 0, 1, 1]) > 0) == 2.0


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
