"""Predictions, metrics and files of a test."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from learn.inference.testing import measure_rows, predict_rows, take_first, write_results
from learn.tasks.outliers import POOR, UNLIKE, Resemblance
from lensphys.ground.errors import InputError
from simulate import shards


def test_the_first_images_come_with_all_that_belongs_to_them(pairs: Path) -> None:
    data = shards.read(pairs)
    assert take_first(data, None) is data
    some = take_first(data, 5)
    assert len(some) == 5
    np.testing.assert_array_equal(some.image, data.image[:5])
    np.testing.assert_array_equal(some.image_lr, data.image_lr[:5])
    np.testing.assert_array_equal(some.label, data.label[:5])
    np.testing.assert_array_equal(some.numbers, data.numbers[:5])
    assert some.params.keys() == data.params.keys()
    for name, values in some.params.items():
        np.testing.assert_array_equal(values, data.params[name][:5])


def test_rows_are_predicted_measured_and_written(
    model2: Path, tmp_path: Path, untrained_task: Any
) -> None:
    task, data = untrained_task("classify", model2)
    memory, rows = task.load(data, "cpu"), np.array([40, 3, 17, 22, 9, 58])
    task.radial.fit_classes(data.image, data.label)
    predictions = predict_rows(task, rows, memory)
    alone = predict_rows(task, rows[2:3], memory)
    np.testing.assert_allclose(predictions[2:3], alone, atol=1e-6)
    metrics = measure_rows(task, predictions, data, rows, memory)
    assert np.sum(metrics["confusion"]) == len(rows)
    write_results(task, predictions, data, rows, memory, metrics, tmp_path)
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file["index"][()].tolist() == rows.tolist()
        assert file["label"][()].tolist() == data.label[rows].tolist()
        np.testing.assert_array_equal(file["prediction"][()], predictions)
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.parametrize("task_name", ["classify", "find", "regress", "superres"])
def test_a_prediction_that_is_no_number_is_never_silently_good(
    model2: Path,
    look_alikes: Path,
    pairs: Path,
    tmp_path: Path,
    untrained_task: Any,
    caplog: pytest.LogCaptureFixture,
    task_name: str,
) -> None:
    caplog.set_level("INFO")
    folder = {"find": look_alikes, "superres": pairs}.get(task_name, model2)
    task, data = untrained_task(task_name, folder)
    if task_name == "classify":
        task.radial.fit_classes(data.image, data.label)
    memory, rows = task.load(data, "cpu"), np.arange(len(data))
    predictions = perfect(task, data)
    whole = measure_rows(task, predictions, data, rows, memory)
    assert "not_computed" not in whole
    some = rows[::5]
    predictions[some] = torch.nan
    metrics = measure_rows(task, predictions, data, rows, memory)
    assert metrics["not_computed"] == len(some)
    assert f"{len(some)} of {len(rows)} predictions are NaN" in caplog.text
    if task_name in ("classify", "find"):
        assert metrics["accuracy"] == pytest.approx(1 - len(some) / len(rows))
        assert metrics.get("macro_auc", metrics.get("auc")) < 0.95
    elif task_name == "regress":
        assert all(metrics["images"][name] < count for name, count in whole["images"].items())
    assert all(math.isfinite(value) for value in metrics.values() if isinstance(value, float))
    write_results(task, predictions, data, rows, memory, metrics, tmp_path)
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert np.isnan(file["prediction"][0]).all()
    with pytest.raises(InputError, match="gives no numbers for any of"):
        measure_rows(task, torch.full_like(predictions, torch.nan), data, rows, memory)


@pytest.mark.parametrize("task_name", ["classify", "find", "regress", "superres"])
def test_flags_are_counted_and_the_others_measured_apart(
    model2: Path,
    look_alikes: Path,
    pairs: Path,
    tmp_path: Path,
    untrained_task: Any,
    task_name: str,
) -> None:
    folder = {"find": look_alikes, "superres": pairs}.get(task_name, model2)
    task, data = untrained_task(task_name, folder)
    if task_name == "classify":
        task.radial.fit_classes(data.image, data.label)
    memory, rows = task.load(data, "cpu"), np.arange(len(data))
    flags = np.full(len(data), "", dtype="<U30")
    flags[::6] = POOR
    flags[::12] = f"{POOR}; {UNLIKE}"
    judged = Resemblance({"distance": np.linspace(0, 2, len(data))}, flags)
    predictions = perfect(task, data)
    # What is flagged is predicted badly, as flags should have it.
    predictions[judged.flagged] = perfect(task, data).flip(0)[judged.flagged]
    metrics = measure_rows(task, predictions, data, rows, memory, judged)
    share = judged.flagged.mean()
    assert metrics["flagged"]["share"] == pytest.approx(share)
    assert metrics["flagged"]["low"] < share < metrics["flagged"]["high"]
    assert metrics["flagged"]["poor_fit"] == pytest.approx(share)
    assert metrics["flagged"]["unlike_training"] == pytest.approx(
        (flags[::12] != "").sum() / len(data)
    )
    kept = rows[~judged.flagged]
    alone = measure_rows(task, predictions[kept], data, kept, memory)
    assert metrics["unflagged"] == task.report.headline_numbers(alone)
    write_results(task, predictions, data, rows, memory, metrics, tmp_path, judged)
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert [flag.decode() for flag in file["flag"]] == flags.tolist()
        np.testing.assert_array_equal(file["distance"], judged.columns["distance"])


def test_no_measure_of_the_others_stands_where_a_class_is_missing_among_them(
    model2: Path, untrained_task: Any
) -> None:
    task, data = untrained_task("classify", model2)
    task.radial.fit_classes(data.image, data.label)
    memory, rows = task.load(data, "cpu"), np.arange(len(data))
    judged = Resemblance({"distance": np.ones(len(data))}, np.where(data.label == 1, UNLIKE, ""))
    metrics = measure_rows(task, perfect(task, data), data, rows, memory, judged)
    assert metrics["flagged"]["share"] == pytest.approx(1 / 3)
    assert "unflagged" not in metrics


def perfect(task: Any, data: shards.DataSet) -> torch.Tensor:
    """Predictions that are right in every task."""
    label = torch.from_numpy(data.label)
    name = task.config.task
    if name == "classify":
        return torch.nn.functional.one_hot(label, len(data.label_names)).float()
    if name == "find":
        return torch.where(label == data.label_names.index("non_lens"), -1.0, 1.0)
    if name == "superres":
        return torch.from_numpy(data.image.copy())
    truth = torch.from_numpy(np.stack([data.params[c] for c in task.columns], 1)).nan_to_num()
    return torch.stack([truth, torch.ones_like(truth)], 1)


def test_a_disk_that_takes_no_predictions_is_told(
    model2: Path, tmp_path: Path, untrained_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, data = untrained_task("classify", model2)
    memory, rows = task.load(data, "cpu"), np.arange(4)
    monkeypatch.setattr(task, "draw", lambda *parts: None)

    def fail(*parts: Any, **options: Any) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr(h5py.File, "create_dataset", fail)
    with pytest.raises(InputError, match=r"cannot write .*predictions\.h5: no space left; make"):
        write_results(task, perfect(task, data)[rows], data, rows, memory, {}, tmp_path)
    assert list(tmp_path.iterdir()) == []
