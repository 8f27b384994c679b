"""The files of a run folder: their names, and how to read them without torch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from learn.config import FinetuneConfig
from lensphys.ground.config import read_yaml, validate
from lensphys.ground.errors import InputError
from lensphys.ground.files import read_json
from lensphys.ground.program import program

#: The configuration of a run, the metrics of a finished task, and the curves of its training.
CONFIG, METRICS, CURVES = "config.yaml", "metrics.json", "metrics.csv"
#: The folder of the checkpoints that a training goes on from.
CHECKPOINTS = "checkpoints"
#: The weights of a finished task.
MODEL = "model.safetensors"
#: The description of a finished encoder, beside its weights.
DESCRIPTION = "encoder.json"
#: The run and the data set of an evaluation, written by ``evaluate --out``.
EVALUATION = "evaluation.json"
#: The digest of the data set that a run was begun on.
DATA = "data.json"


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics of a finished fine-tuning run.

    Raises:
        InputError: if the file is damaged.
    """
    try:
        return read_json(folder / METRICS)
    except ValueError:
        raise InputError(
            f"{folder / METRICS} is damaged; delete it and run the finetune command again"
        ) from None


def read_curves(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``metrics.csv``, none where there is no such file.

    Raises:
        InputError: if the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            int(row["epoch"])
            for value in row.values():
                float(value or 0)
    except (ValueError, KeyError, TypeError, csv.Error):
        raise InputError(
            f"{path} is damaged; delete it and run the command of that run again"
        ) from None
    return rows


def read_run_config(folder: Path) -> FinetuneConfig:
    """Read the configuration of a fine-tuning run that has left its weights.

    Raises:
        InputError: if there is none.
    """
    path = folder / CONFIG
    values = read_yaml(path) if path.is_file() else {}
    if "method" in values:
        raise InputError(
            f"{folder} is a pretrain run, which predicts nothing by itself; fine-tune it first: "
            f"`{program()} finetune --task classify --encoder {folder}`"
        )
    if "task" not in values:
        raise InputError(
            f"{folder} is not a run; give the folder of a finished fine-tuning run, or make one "
            f"with `{program()} finetune`"
        )
    if not (folder / MODEL).is_file():
        raise unfinished(folder, values["task"])
    return validate(FinetuneConfig, values, str(path))


def no_encoder(folder: Path, otherwise: str = "") -> InputError:
    """The error for a folder without a finished encoder.

    Args:
        folder: of no run, or of one that was interrupted.
        otherwise: what else works, for the message.
    """
    return InputError(
        f"{folder} has no finished encoder; give the folder of a finished `{program()} pretrain` "
        f"run{otherwise}"
    )


def unfinished(folder: Path, task: str) -> InputError:
    """The error for a run that was interrupted."""
    return InputError(
        f"{folder} is not finished; run its finetune command again to finish it: `{program()} "
        f"finetune --config {folder / CONFIG} --task {task} --out {folder}`"
    )
