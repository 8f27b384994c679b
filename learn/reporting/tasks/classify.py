"""The report of a classification."""

from __future__ import annotations

from learn.reporting.task_report import Baseline, TaskReport

REPORT = TaskReport(
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
