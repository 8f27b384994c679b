"""The content of a run folder, as far as a report shows it."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn.reporting.task_report import TaskReport
from learn.run_files import (
    CONFIG,
    CURVES,
    DESCRIPTION,
    EVALUATION,
    METRICS,
    read_curves,
    read_metrics,
)
from learn.tasks import TASKS, task_report
from lensphys.ground.config import read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import read_json

#: Keys of the verdict in the description of an encoder, beside the measures of its monitor.
_VERDICT = {"collapsed", "signs_of_collapse"}


@dataclasses.dataclass(frozen=True)
class Run:
    """The content of a run folder.

    Attributes:
        folder: folder of the run.
        config: its configuration; empty where another data set was evaluated.
        metrics: of a task; None for a pretraining run, or one that is not finished.
        about: the description of its encoder; None where there is none.
        evaluation: the task, run and data of an evaluation; empty for a run.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any] | None
    about: dict[str, Any] | None
    evaluation: dict[str, Any]

    @property
    def task(self) -> str | None:
        """The name of its task; None for a pretraining run."""
        found = self.config.get("task", self.evaluation.get("task"))
        return found if isinstance(found, str) else None

    @property
    def report(self) -> TaskReport:
        """The report of its task; for a task that is not known here, all numbers by their names."""
        return task_report(self.task) if self.task in TASKS else TaskReport()

    @property
    def kind(self) -> str:
        """Training or evaluation, and of what."""
        if "task" in self.config:
            return f"fine-tuning for {self.config['task']}"
        if "method" in self.config:
            return f"pretraining by {self.config['method']}"
        return f"evaluation for {self.task}" if self.task else "evaluation"

    @property
    def finished(self) -> bool:
        """True where the run has left its last file."""
        return (self.about if "method" in self.config else self.metrics) is not None

    @property
    def data(self) -> str | None:
        """The data set of the run."""
        return self.config.get("data") or self.evaluation.get("data")

    def monitored(self) -> dict[str, Any]:
        """The last measures of the monitor, by name; nothing where there is none.

        Raises:
            InputError: if they are no numbers.
        """
        watched = (self.about or {}).get("monitor") or {}
        if not isinstance(watched, dict):
            raise damaged(self.folder / DESCRIPTION)
        measures = monitor_measures(watched)
        if not all(isinstance(value, int | float) for value in measures.values()):
            raise damaged(self.folder / DESCRIPTION)
        return measures

    def signs_of_collapse(self) -> list[str]:
        """The signs that its encoder has collapsed."""
        watched = (self.about or {}).get("monitor") or {}
        return list(watched.get("signs_of_collapse", ()))

    def last_losses(self) -> dict[str, tuple[float, int]]:
        """The losses at the end of the last epoch, and that epoch.

        Raises:
            InputError: for a damaged file.
        """
        path = self.folder / CURVES
        try:
            return {
                name: (float(row[name]), int(row["epoch"]) + 1)
                for row in read_curves(path)
                for name in row
                if name and name.endswith("loss") and row[name]
            }
        except (ValueError, KeyError, TypeError, csv.Error):
            raise damaged(path) from None


def monitor_measures(watched: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of a monitor by name, without its verdict."""
    return {name: value for name, value in watched.items() if name not in _VERDICT}


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run or an evaluation."""
    if (folder / METRICS).is_file():
        return True
    path = folder / CONFIG
    return path.is_file() and not {"task", "method"}.isdisjoint(read_yaml(path))


def read_run(folder: Path) -> Run | None:
    """Read a run folder; None for any other folder.

    Raises:
        InputError: for a damaged file.
    """
    if not is_run(folder):
        return None
    return Run(
        folder,
        config=read_yaml(folder / CONFIG) if (folder / CONFIG).is_file() else {},
        metrics=read_metrics(folder) if (folder / METRICS).is_file() else None,
        about=_read_json(folder / DESCRIPTION),
        evaluation=_read_json(folder / EVALUATION) or {},
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with reading(path):
        return read_json(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Call a file damaged when its content is not what it should be."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError):
        raise damaged(path) from None


def damaged(path: Path) -> InputError:
    """The refusal of a damaged file."""
    return InputError(f"{path} is damaged; delete it and run the command of that run again")
