"""The report of regressed columns."""

from __future__ import annotations

import dataclasses

from learn.reporting.table import Entry, Table
from learn.reporting.task_report import Baseline, Metrics, TaskReport, describe_tested

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

    def alt_texts(self, metrics: Metrics) -> dict[str, str]:
        """Descriptions of the panels of predictions and of the lines of calibration."""
        errors = metrics["mae"]
        if not errors:
            return {}
        first, count = next(iter(errors)), len(errors)
        held = {name: part for name, part in metrics["coverage68"].items() if part is not None}
        tested = describe_tested(metrics)
        shown = ", ".join(f"{name} {self.entry('coverage68', p).text}" for name, p in held.items())
        return {
            "regression": (
                f"A panel a column, {count} in all: predicted values with error bars of 1 sigma "
                f"against true ones, beside the diagonal. {tested}. Mean absolute error of "
                f"{first}: {self.beside(f'mae.{first}', metrics)}."
            ),
            "calibration": (
                f"A line a column, {len(held)} in all: the part of the errors that intervals "
                f"hold against their nominal coverage, both from 0 to 1, beside the diagonal. "
                f"{tested}. Intervals of 68% hold: {shown}."
            ),
        }


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
