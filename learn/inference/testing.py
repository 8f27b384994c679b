"""Test a task on some images of a data set: predictions, metrics, and the files of both."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.data import BatchIndices, InMemory, loader
from learn.run_files import METRICS
from learn.tasks.base import Task
from lensphys.ground.files import replacing, write_text
from simulate.shards import DataSet

_log = logging.getLogger(__name__)

PREDICTIONS = "predictions.h5"


def predict_rows(task: Task, rows: NDArray[np.int64], memory: InMemory) -> Tensor:
    """Predictions for the images ``rows`` of what ``memory`` holds, on the CPU."""
    _log.info("%s: predicting %d images ...", task.config.task, len(rows))
    batches = BatchIndices(rows, task.config.optimizer.batch_size, shuffle=False)
    return task.predict_all(loader(memory, batches))


def measure_rows(
    task: Task, predictions: Tensor, data: DataSet, rows: NDArray[np.int64], memory: InMemory
) -> dict[str, Any]:
    """Metrics of the predictions for the images ``rows``, and of all baselines beside them."""
    fits = memory.fits
    if fits is not None:
        fits = fits.without_channels().rows(torch.from_numpy(rows))
    return task.measure(predictions, data, rows, fits)


def take_first(data: DataSet, count: int | None) -> DataSet:
    """The first images of a data set; all of them if no count is given."""
    if count is None:
        return data
    return dataclasses.replace(
        data,
        image=data.image[:count],
        label=data.label[:count],
        params={name: values[:count] for name, values in data.params.items()},
        image_lr=None if data.image_lr is None else data.image_lr[:count],
        numbers=None if data.numbers is None else data.numbers[:count],
    )


def write_results(
    task: Task,
    predictions: Tensor,
    data: DataSet,
    rows: NDArray[np.int64],
    metrics: dict[str, Any],
    folder: Path,
) -> None:
    """Write figures, predictions and, last, the metrics."""
    task.draw(predictions, data, rows, metrics, folder)
    columns, attrs = task.records(predictions, data, rows)
    with replacing(folder / PREDICTIONS) as path, h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values)
        file.create_dataset("index", data=rows)
        file.create_dataset("label", data=data.label[rows])
        for name, value in ({"label_names": data.label_names} | attrs).items():
            file.attrs[name] = value
    write_text(folder / METRICS, json.dumps(metrics, indent=1) + "\n")
