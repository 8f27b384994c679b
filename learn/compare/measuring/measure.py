"""Measure a cell: train its network, or probe its features."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import h5py

from learn.compare.cell import TASK, Cell
from learn.compare.measuring.materials import COMMIT, SECONDS, Materials
from learn.compare.measuring.probe import probe
from learn.compare.measuring.sensitivity import count_by_signal
from learn.inference.outputs import PREDICTIONS
from learn.run_files import CHECKPOINTS, CONFIG, read_metrics
from learn.splits import split_for
from learn.training.loop import resolve
from lensphys.ground.config import read_yaml
from lensphys.ground.errors import InputError


def make_content(cell: Cell, materials: Materials) -> dict[str, Any]:
    """Measure a cell, and return the content of its file.

    Commits and seconds are those of its run and of its encoder's, which may be older than this
    code. ``seconds`` are without those of the encoder, and with a data set and its lens fits where
    this cell was the first to need them.
    """
    start, before = time.monotonic(), materials.encoder_seconds
    metrics = measure(cell, materials)
    seconds = time.monotonic() - start - (materials.encoder_seconds - before)
    encoder = materials.pretraining_run(cell.pretraining).out if cell.pretraining else None
    trained = materials.training_run(cell).out if cell.probe_strengths is None else None
    config = resolve(cell.training)
    return cell.key | {
        "config": cell.config,
        "metrics": metrics,
        "commit": _read(trained, COMMIT) or materials.commit,
        "encoder_commit": _read(encoder, COMMIT),
        "device": config.device,
        "precision": config.precision,
        "encoder_precision": _precision(encoder),
        "seconds": max(round(seconds, 3), _read_seconds(trained)),
        "encoder_seconds": _read_seconds(encoder) or None,
    }


def measure(cell: Cell, materials: Materials) -> dict[str, Any]:
    """The metrics of a cell."""
    if cell.probe_strengths is None:
        return _train(cell, materials)
    data = materials.read(materials.make_data_set(cell.data))
    parts = split_for(data, cell.training)
    features = materials.extract_features(cell, data)
    return probe(features, data, parts, cell.probe_strengths)


def _train(cell: Cell, materials: Materials) -> dict[str, Any]:
    """Train the whole network."""
    materials.make_data_set(cell.data)
    if cell.pretraining:
        materials.make_encoder(cell.pretraining)
    folder = materials.train(cell)
    # Only an unfinished run needs them, and a tier has hundreds of runs.
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    metrics = read_metrics(folder)
    if cell.training.task != TASK:
        return metrics
    with h5py.File(folder / PREDICTIONS, "r") as file:
        rows, probability = file["index"][()], file["prediction"][()]
    data = materials.read(materials.make_data_set(cell.data))
    return metrics | {"sensitivity": count_by_signal(probability, data, rows)}


def _precision(run: Path | None) -> str | None:
    """The precision of a run; None without one."""
    if run is None or not (run / CONFIG).is_file():
        return None
    precision = read_yaml(run / CONFIG).get("precision")
    return None if precision is None else str(precision)


def _read_seconds(run: Path | None) -> float:
    """The seconds that a run took; 0 where they are not known."""
    try:
        return float(_read(run, SECONDS) or 0)
    except ValueError:
        raise InputError(f"{run}/{SECONDS} is damaged; delete it") from None


def _read(run: Path | None, name: str) -> str | None:
    """The text of a file in the folder of a run; None without a run or the file."""
    if run is None or not (run / name).is_file():
        return None
    return (run / name).read_text(encoding="utf-8").strip()
