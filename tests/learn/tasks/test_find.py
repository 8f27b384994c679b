"""Lens finding."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.model import load_model
from learn.tasks.find import Find, best_threshold, finding_metrics
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.light.look_alikes import NON_LENS_KINDS
from tests.learn.conftest import QUICK_FIT, finetuned


@pytest.fixture(scope="module")
def finder(non_lenses: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finetuned("find", non_lenses, tmp_path_factory.mktemp("finder") / "run")


def test_finding_lenses_among_look_alikes(finder: Path, non_lenses: Path) -> None:
    folder = finder
    metrics = json.loads((folder / "metrics.json").read_text())
    assert evaluate(folder).metrics == metrics
    names = {"auc", "tpr_at_fpr_1e-2", "tpr_at_fpr_1e-3", "accuracy", "completeness", "purity"}
    assert names | {f"radial_{name}" for name in names} <= set(metrics)
    assert (metrics["lenses"], metrics["non_lenses"]) == (3, 2)
    assert set(metrics["false_positive_rate"]) <= set(NON_LENS_KINDS)
    data = shards.read(non_lenses)
    with h5py.File(folder / "predictions.h5") as file:
        truth, probability = file["truth"][()], file["prediction"][()]
        np.testing.assert_array_equal(truth, data.label[file["index"][()]] != 3)
        assert ((probability > 0) & (probability < 1)).all()
        called = probability >= file.attrs["threshold"]
    assert (called == truth).mean() == metrics["accuracy"]
    for name in ("loss.png", "roc.png", "look_alikes.png"):
        assert (folder / name).is_file()


def test_a_data_set_without_non_lenses_names_the_command(
    model2: Path, non_lenses: Path, tmp_path: Path, finetune_config: Any
) -> None:
    with pytest.raises(InputError, match=r"simulate .* --non-lens 0.5"):
        finetune(finetune_config("find", data=model2, out=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
    data = shards.read(non_lenses)
    for labels, what in ((np.zeros(50, int), "without a lens"), (np.full(50, 3), "no lenses")):
        with pytest.raises(InputError, match=what):
            Find.inputs(dataclasses.replace(data, label=labels))


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


def test_table_and_metrics_call_the_same_images_lenses(finder: Path) -> None:
    task = load_model(finder).task
    at_the_threshold = task.threshold.reshape(1)
    assert task.table(at_the_threshold)["is_lens"].all()


def test_the_threshold_of_separate_images_is_half_way() -> None:
    assert best_threshold(np.array([0.0, 1.0, 3.0, 4.0]), np.array([0, 0, 1, 1]) > 0) == 2.0


def test_a_finder_depends_on_chi2(look_alikes: Path, untrained_task: Any) -> None:
    module, data = untrained_task("find", look_alikes, QUICK_FIT)
    batch = module.load(data, "cpu")[torch.arange(8)]
    assert batch.fits is not None
    fits = dataclasses.replace(batch.fits, chi2_dof=10 * batch.fits.chi2_dof)
    worse = batch._replace(fits=fits)
    with torch.no_grad():
        assert not torch.allclose(module.predict_batch(batch), module.predict_batch(worse))
