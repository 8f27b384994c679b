"""The content of a run folder, as far as a report shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn.reporting.own_files import find_file
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

    def monitored(self) -> dict[str, float]:
        """The last measures of the monitor, by name; nothing where there is none.

        Raises:
            InputError: if they are no numbers.
        """
        with reading(self.folder / DESCRIPTION):
            measures = monitor_measures(self._watched())
            return {name: float(value) for name, value in measures.items()}

    def signs_of_collapse(self) -> list[str]:
        """The signs that its encoder has collapsed.

        Raises:
            InputError: if they are no words.
        """
        with reading(self.folder / DESCRIPTION):
            return [str(sign) for sign in self._watched().get("signs_of_collapse", ())]

    def _watched(self) -> dict[str, Any]:
        """The last measurement of the monitor; empty where there is none."""
        watched: dict[str, Any] = (self.about or {}).get("monitor") or {}
        return watched

    def losses(self) -> dict[str, list[tuple[float, int]]]:
        """The losses, each with its epoch, in order.

        Raises:
            InputError: for a damaged file.
        """
        path = find_file(self.folder, CURVES)
        losses: dict[str, list[tuple[float, int]]] = {}
        for row in read_curves(path) if path else ():
            for name in row:
                if name.endswith("loss") and row[name]:
                    losses.setdefault(name, []).append((float(row[name]), int(row["epoch"]) + 1))
        return losses


def monitor_measures(watched: Mapping[str, Any]) -> dict[str, Any]:
    """The measures of a monitor by name, without its verdict."""
    return {name: value for name, value in watched.items() if name not in _VERDICT}


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a run or an evaluation."""
    if find_file(folder, METRICS):
        return True
    path = find_file(folder, CONFIG)
    return path is not None and not {"task", "method"}.isdisjoint(read_yaml(path))


def read_run(folder: Path) -> Run | None:
    """Read a run folder; None for any other folder.

    Raises:
        InputError: for a damaged file.
    """
    if not is_run(folder):
        return None
    return Run(
        folder,
        config=read_yaml(config) if (config := find_file(folder, CONFIG)) else {},
        metrics=read_metrics(folder) if find_file(folder, METRICS) else None,
        about=_read_json(folder, DESCRIPTION),
        evaluation=_read_json(folder, EVALUATION) or {},
    )


def _read_json(folder: Path, name: str) -> dict[str, Any] | None:
    path = find_file(folder, name)
    if path is None:
        return None
    with reading(path):
        return read_json(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Call a file damaged when its content is not what it should be."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise damaged(path) from None


def damaged(path: Path) -> InputError:
    """The refusal of a damaged file."""
    return InputError(f"{path} is damaged; delete it and run the command of that run again")
