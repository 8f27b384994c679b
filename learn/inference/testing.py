"""Test a task on some images of a data set: predictions, metrics, and the files of both."""

from __future__ import annotations

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
from learn.fractions import fraction_interval
from learn.inference.outputs import PREDICTIONS
from learn.lens_fits.lens_fits import LensFits
from learn.reporting.task_report import FLAGGED, INTERVALS, TEST_IMAGES, UNFLAGGED
from learn.run_files import METRICS
from learn.tasks.base import Task
from learn.tasks.intervals import bootstrap
from learn.tasks.outliers import TESTS, Resemblance
from lensphys.ground.errors import InputError
from lensphys.ground.files import cannot_write, replacing, write_text
from simulate.hdf5 import error_number
from simulate.shards import DataSet

_log = logging.getLogger(__name__)


def predict_rows(task: Task, rows: NDArray[np.int64], memory: InMemory) -> Tensor:
    """Predictions for the images ``rows`` of what ``memory`` holds, on the CPU."""
    _log.info("%s: predicting %d images ...", task.config.task, len(rows))
    batches = BatchIndices(rows, task.config.optimizer.batch_size, shuffle=False)
    return task.predict_all(loader(memory, batches))


def measure_rows(
    task: Task,
    predictions: Tensor,
    data: DataSet,
    rows: NDArray[np.int64],
    memory: InMemory,
    judged: Resemblance | None = None,
) -> dict[str, Any]:
    """Metrics of the predictions for the images ``rows``, and of all baselines beside them.

    ``test_images`` is their number, and ``intervals`` holds the 95% intervals of headline measures.
    Images whose predictions are no numbers are counted as ``not_computed``.

    Args:
        task: that predicted.
        predictions: of N images.
        data: the data set.
        rows: (N,) indices of the images.
        memory: the data set in memory.
        judged: the resemblance of the images to those of the training. With it the metrics hold
            ``flagged``, the fraction with a flag, its 95% interval and the fraction with each flag,
            and ``unflagged``, the headline measures of the others.

    Raises:
        InputError: if no prediction is a number.
    """
    known = are_computed(predictions)
    if not known.any():
        raise InputError(
            f"the network gives no numbers for any of {len(rows)} images of {data.path}; its "
            "training has diverged, or their fluxes are beyond what it can work with"
        )
    measured, metrics = rows, dict[str, Any]()
    if not known.all():
        metrics["not_computed"] = int((~known).sum())
        how = "count as wrong" if task.judges_all else "are in no metric"
        _log.info("%d of %d predictions are NaN and %s", metrics["not_computed"], len(rows), how)
        if not task.judges_all:
            predictions, measured = predictions[torch.from_numpy(known)], rows[known]
    metrics |= _measure(task, predictions, data, measured, memory)
    metrics[TEST_IMAGES] = len(rows)
    if (parts := task.parts(predictions, data, measured)) is not None:
        metrics[INTERVALS] = bootstrap(parts, len(measured))
    if judged is not None:
        metrics[FLAGGED] = measure_flags(judged)
        ordinary = ~judged.rows(known).flagged if len(measured) < len(rows) else ~judged.flagged
        labels = data.label[measured]
        # A measure of a part is one of the whole where each class is left.
        if np.array_equal(np.unique(labels[ordinary]), np.unique(labels)):
            others = predictions[torch.from_numpy(ordinary)]
            part = _measure(task, others, data, measured[ordinary], memory)
            metrics[UNFLAGGED] = task.report.headline_numbers(part)
    return metrics


def _measure(
    task: Task, predictions: Tensor, data: DataSet, rows: NDArray[np.int64], memory: InMemory
) -> dict[str, Any]:
    return task.measure(predictions, data, rows, _fits(memory, rows))


def _fits(memory: InMemory, rows: NDArray[np.int64]) -> LensFits | None:
    """Lens fits of the images ``rows``, without channels; None where the encoder sees none."""
    fits = memory.fits
    return None if fits is None else fits.without_channels().rows(torch.from_numpy(rows))


def measure_flags(judged: Resemblance) -> dict[str, float]:
    """Fraction of images with a flag, the ends of its 95% interval, and the fraction with each."""
    share = {f.strip("?").replace(" ", "_"): judged.has(f).mean() for f in TESTS.values()}
    low, high = fraction_interval(int(judged.flagged.sum()), len(judged))
    measured = {"share": judged.flagged.mean(), "low": low, "high": high} | share
    return {name: float(value) for name, value in measured.items()}


def are_computed(predictions: Tensor) -> NDArray[np.bool_]:
    """Tell which predictions (N, ...) are numbers throughout."""
    known: NDArray[np.bool_] = predictions[:, None].isfinite().flatten(1).all(1).numpy()
    return known


def take_first(data: DataSet, count: int | None) -> DataSet:
    """The first images of a data set; all of them if no count is given."""
    return data if count is None else data.rows(slice(count))


def write_results(
    task: Task,
    predictions: Tensor,
    data: DataSet,
    rows: NDArray[np.int64],
    memory: InMemory,
    metrics: dict[str, Any],
    folder: Path,
    judged: Resemblance | None = None,
) -> None:
    """Write figures, predictions with the flags of images where they have been judged, and metrics.

    The metrics come last.

    Args:
        task: that predicted.
        predictions: of N images.
        data: the data set.
        rows: (N,) indices of the images.
        memory: the data set in memory.
        metrics: of the predictions.
        folder: to write into.
        judged: the resemblance of the images to those of the training.

    Raises:
        InputError: if they cannot be written.
    """
    known = are_computed(predictions)
    drawn = rows[known]
    computed = predictions[torch.from_numpy(known)]
    task.draw(computed, data, drawn, metrics, folder, _fits(memory, drawn))
    columns, attrs = task.records(predictions, data, rows)
    if judged is not None:
        columns |= judged.columns | {"flag": judged.flags.astype("S")}
    try:
        with (
            replacing(folder / PREDICTIONS) as path,
            h5py.File(path, "w", locking=False) as file,
        ):
            for name, values in columns.items():
                file.create_dataset(name, data=values)
            file.create_dataset("index", data=rows)
            file.create_dataset("label", data=data.label[rows])
            for name, value in ({"label_names": data.label_names} | attrs).items():
                file.attrs[name] = value
    except (OSError, RuntimeError) as error:  # HDF5 answers a full disk with either
        raise cannot_write(folder / PREDICTIONS, error_number(error), str(error)) from None
    write_text(folder / METRICS, json.dumps(metrics, indent=1) + "\n")
