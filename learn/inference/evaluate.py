"""Test a trained task: from the weights that a run has left, on its own images or on others."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learn.data_description import DataDescription, describe
from learn.inference.model_file import restore
from learn.inference.outputs import check_evaluation
from learn.inference.testing import measure_rows, predict_rows, take_first, write_results
from learn.run_files import EVALUATION, read_run_config
from learn.splits import split_for
from learn.tasks import task_report
from learn.tasks.judging import judge_rows
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.files import write_text
from lensphys.ground.locks import hold
from simulate import shards
from simulate.shards import DataSet

#: Keys of the configuration of a data set that no single image depends on.
_WITHOUT_EFFECT = {"n", "pairs", "shard_size", "device", "backend"}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The test of a trained task on a data set.

    Attributes:
        task: its name.
        metrics: the content of a ``metrics.json``.
        data: the data set.
        rows: indices of its images that the task was tested on.
    """

    task: str
    metrics: dict[str, Any]
    data: DataSet
    rows: NDArray[np.int64]


def evaluate(
    run: Path,
    data: Path | None = None,
    out: Path | None = None,
    device: str = "cpu",
    *,
    overwrite: bool = False,
) -> Evaluation:
    """Test the weights of a finished fine-tuning run.

    On the data set of the run, wherever it lies now: on its test images, with the same metrics as
    at its end (to the last digit on a CPU, unless the encoder was compiled). On any other: on all
    images.

    Args:
        run: its folder, of which ``model.safetensors`` and ``config.yaml`` are read.
        data: another data set, of the same instrument; None: where that of the run was.
        out: folder for metrics, predictions and figures; nothing is written without it.
        device: to compute on: cpu, cuda, or auto for cuda where there is one.
        overwrite: replace files in ``out`` that are of no evaluation.

    Raises:
        InputError: for a folder without a finished run, data that do not fit it or hold some of the
            images it was trained on, a CUDA device that is not there, or where ``out`` holds
            something else or cannot be written to.
    """
    config = read_run_config(run)
    if out is not None:
        figures = task_report(config.task).captions
        check_evaluation(out, figures, overwrite=overwrite)
    task, known = restore(run)
    config, device = task.config, choose_device(device)
    place = data or config.data
    if place is None:
        raise InputError(f"{run} does not state its data set; name one with --data")
    images = shards.read(place)
    own = _is_own(images, describe(images), known, run, named=data is not None)
    if own:
        images = take_first(images, config.max_images)
    task.check_data(images)
    _check_match(task.must_match(known), task.must_match(describe(images)), images.path, run)
    rows = split_for(images, config).test if own else np.arange(len(images))
    task = task.to(device)
    memory = task.load(images, device)
    predictions = predict_rows(task, rows, memory)
    judged = judge_rows(task, rows, memory)
    metrics = measure_rows(task, predictions, images, rows, memory, judged)
    if out is not None:
        with hold(out):
            check_evaluation(out, figures, overwrite=overwrite)
            about = {"task": config.task, "run": str(run), "data": str(images.path)}
            write_text(out / EVALUATION, json.dumps(about, indent=1) + "\n")
            write_results(task, predictions, images, rows, memory, metrics, out, judged)
    return Evaluation(config.task, metrics, images, rows)


def _is_own(
    images: DataSet, found: DataDescription, known: DataDescription, run: Path, *, named: bool
) -> bool:
    """Tell whether these are the images of a run: made as they were, wherever they lie."""
    if _images_of(found.config) != _images_of(known.config):
        if not named:
            raise InputError(
                f"{images.path} is not the data set any more that {run} was trained on; where that "
                "is, or to be tested on all of this one, say with --data"
            )
        return False
    ours, theirs = known.config.get("n"), found.config.get("n")
    if ours != theirs:
        raise InputError(
            f"{images.path} was made as the data set of {run}, but for n = {theirs}, "
            f"not {ours}: it was trained on some of these images; choose another --data"
        )
    return True


def _images_of(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of a configuration that each image depends on, however many there are."""
    return {key: value for key, value in config.items() if key not in _WITHOUT_EFFECT}


def _check_match(ours: dict[str, Any], theirs: dict[str, Any], data: Path, run: Path) -> None:
    """Refuse data that a network would misread without a sign."""
    for key, wanted in ours.items():
        found = theirs.get(key)
        if isinstance(wanted, float) and isinstance(found, float):
            same = math.isclose(wanted, found, rel_tol=1e-4)
        else:
            same = wanted == found
        if not same:
            raise InputError(
                f"{data} has {key} = {_plain(found)}, the data of {run} had {_plain(wanted)}; "
                "choose another --data"
            )


def _plain(value: object) -> str:
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
