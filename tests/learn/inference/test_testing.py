"""Predictions, metrics and files of a test."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from learn.inference.testing import measure_rows, predict_rows, take_first, write_results
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
    write_results(task, predictions, data, rows, metrics, tmp_path)
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file["index"][()].tolist() == rows.tolist()
        assert file["label"][()].tolist() == data.label[rows].tolist()
        np.testing.assert_array_equal(file["prediction"][()], predictions)
    assert (tmp_path / "metrics.json").is_file()
