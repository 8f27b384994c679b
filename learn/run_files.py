"""The files of a run folder: their names, and how to read them without torch."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from lensphys.ground.errors import InputError

#: The configuration of a run, the metrics of a finished task, and the curves of its training.
CONFIG, METRICS, CURVES = "config.yaml", "metrics.json", "metrics.csv"
#: The description of a finished encoder, beside its weights.
DESCRIPTION = "encoder.json"
#: What ``evaluate --out`` tested, and on which data set.
EVALUATION = "evaluation.json"


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read the metrics of a finished fine-tuning run.

    Raises:
        InputError: where the file is damaged.
    """
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except ValueError:
        metrics = None
    if not isinstance(metrics, dict):
        raise InputError(
            f"{folder / METRICS} is damaged; delete it and run the finetune command again"
        )
    return metrics


def read_curves(path: Path) -> list[dict[str, str]]:
    """Read the rows of a ``metrics.csv``, none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
