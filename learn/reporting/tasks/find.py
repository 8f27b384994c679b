"""The report of a lens finder."""

from __future__ import annotations

import dataclasses

from learn.reporting.table import Entry, Table
from learn.reporting.task_report import Baseline, Metrics, TaskReport

_RADIAL = Baseline("radial", "radial features")
#: The rows of the table.
_ROWS = {
    "auc": "AUC",
    "tpr_at_fpr_1e-2": "lenses found at 1 in 100 false positives",
    "tpr_at_fpr_1e-3": "lenses found at 1 in 1000",
    "accuracy": "accuracy at the threshold",
    "completeness": "completeness",
    "purity": "purity",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FindReport(TaskReport):
    """A table of chosen measures, and notes on look-alikes and on rates that are too small."""

    def table(self, title: str, metrics: Metrics) -> Table:
        """One row for each measure of a finder, beside that of radial features."""
        rows = [
            [Entry(words), *(self.entry(name, metrics[key]) for key in (name, _RADIAL.of(name)))]
            for name, words in self.labels.items()
        ]
        return Table(title, ("measure", "this run", _RADIAL.name), rows)

    def terminal_table(self, title: str, metrics: Metrics) -> Table:
        """The same table; its labels are too long for the heads of columns."""
        return self.table(title, metrics)

    def notes(self, metrics: Metrics) -> list[str]:
        """The look-alikes that are called lenses, and the rates that so few images cannot give."""
        notes, others = super().notes(metrics), metrics["non_lenses"]
        passed = metrics["false_positive_rate"]
        if passed:
            rates = ", ".join(f"{name} {rate:.3f}" for name, rate in passed.items())
            notes.append(f"called a lens, of each look-alike: {rates}")
        few = [f"{rate:g}" for rate in (1e-2, 1e-3) if others * rate < 1]
        if few:
            notes.append(
                f"{others} non-lenses are too few for a false-positive rate of {' or '.join(few)}: "
                "that value is at no false positive"
            )
        return notes

    def alt_texts(self, metrics: Metrics) -> dict[str, str]:
        """Descriptions of the ROC curves and of the bars of look-alikes."""
        rates = ", ".join(f"{k} {rate:.3f}" for k, rate in metrics["false_positive_rate"].items())
        return {
            "roc": (
                "ROC curves: lenses found against the false-positive rate on a logarithmic axis, "
                "a line each for the network, radial features and chance, with dots at the "
                f"thresholds. {metrics['lenses']} lenses and {metrics['non_lenses']} others. "
                f"Areas under the curves: {self.beside('auc', metrics)}."
            ),
            "look_alikes": (
                "Bars: the part of each kind of look-alike that is called a lens, by the network "
                f"and by radial features. Network, of {metrics['non_lenses']} look-alikes: "
                f"{rates or 'no kinds'}."
            ),
        }


REPORT = FindReport(
    baseline=_RADIAL,
    headline={
        "auc": "AUC",
        "tpr_at_fpr_1e-2": "tpr at fpr 1e-2",
        "tpr_at_fpr_1e-3": "tpr at fpr 1e-3",
        "accuracy": "accuracy",
        "completeness": "completeness",
        "purity": "purity",
    },
    labels=_ROWS,
    captions={
        "roc": "ROC curves on the test images: the network, radial features, and chance.",
        "look_alikes": "Look-alikes that are called lenses, by kind, with 68% intervals.",
    },
)
