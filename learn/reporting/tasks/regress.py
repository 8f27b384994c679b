"""The report of regressed columns."""

from __future__ import annotations

import dataclasses

from learn.reporting.table import Entry, Table
from learn.reporting.task_report import Baseline, Metrics, TaskReport

#: The columns of the table: measures, each with a number for every column of the data set.
_HEAD = {
    "mae": "this run",
    "radial_mae": "radial",
    "mean_mae": "mean",
    "r2": "R2",
    "coverage68": "68%",
    "coverage95": "95%",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressReport(TaskReport):
    """A row for each column that was regressed, its error beside those of the baselines."""

    def table(self, title: str, metrics: Metrics) -> Table:
        """One row for each column of the data set."""
        rows = [
            [Entry(column), *(self.entry(name, metrics[name].get(column)) for name in _HEAD)]
            for column in metrics["mae"]
        ]
        return Table(title, ("MAE, and coverage", *_HEAD.values()), rows)

    def terminal_table(self, title: str, metrics: Metrics) -> Table:
        """The same table; a row a run would be too wide."""
        return self.table(title, metrics)


REPORT = RegressReport(
    baseline=Baseline("radial", "radial features"),
    headline={"mae": "mae"},
    other_baselines=("mean",),
    formats=dict.fromkeys(_HEAD, "{:.3g}"),
    captions={
        "regression": "Predicted against true values, with error bars of 1 sigma.",
        "calibration": (
            "Part of the errors that the predicted intervals hold, against their nominal coverage: "
            "below the diagonal the predicted errors are too small."
        ),
    },
)
