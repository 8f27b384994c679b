"""The report of a classification."""

from __future__ import annotations

import dataclasses

from learn.reporting.task_report import Baseline, Metrics, TaskReport, describe_tested


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifyReport(TaskReport):
    """Tables of the default kind, and descriptions of ROC curves and confusion matrix."""

    def alt_texts(self, metrics: Metrics) -> dict[str, str]:
        """Descriptions of the ROC curves and of the confusion matrix."""
        areas = {name: self.beside(f"auc.{name}", metrics) for name in metrics["auc"]}
        aucs = "; ".join(f"{name}: {area}" for name, area in areas.items())
        classes = ", ".join(metrics["auc"])
        tested = describe_tested(metrics)
        right = sum(row[k] for k, row in enumerate(metrics["confusion"]))
        return {
            "roc": (
                f"ROC curves, a panel for each of {len(metrics['auc'])} classes: true-positive "
                f"rate against false-positive rate, a line each for the network, its baselines "
                f"and chance. {tested}. Areas under the curves: {aucs}."
            ),
            "confusion": (
                f"Confusion matrix of {classes}: a row a true class, a column a predicted one. "
                f"{tested}, of which {right:,} lie on the diagonal: accuracy "
                f"{metrics['accuracy']:.3f}."
            ),
        }


REPORT = ClassifyReport(
    baseline=Baseline("radial", "radial features"),
    fit_baselines=(Baseline("detection", "detection statistics"),),
    headline={"accuracy": "accuracy", "macro_auc": "macro AUC", "ece": "ECE"},
    compared={
        "accuracy": "Accuracy",
        "macro_auc": "Area under the ROC curve, mean over classes",
    },
    labels={"macro_auc": "macro AUC", "auc": "AUC", "f1": "F1", "ece": "ECE"},
    captions={
        "roc": (
            "ROC curves on the test images: the network, radial features, detection statistics "
            "where lenses are fitted, and chance."
        ),
        "confusion": (
            "Confusion matrix in counts: a row a true class, a column a predicted one; the colour "
            "is the fraction of the true class."
        ),
    },
)
