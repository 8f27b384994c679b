"""The measures of a classification."""

from learn.reporting.tasks.classify import REPORT
from tests.learn.reporting.conftest import CLASSIFIED


def test_runs_compare_by_accuracy_auc_and_calibration():
    names = ["accuracy", "macro AUC", "ECE"]
    assert list(REPORT.headline_entries(CLASSIFIED)) == [
        name for measure in names for name in (measure, f"radial {measure}")
    ]


def test_an_area_that_is_not_defined_is_left_out():
    entries = REPORT.headline_entries(CLASSIFIED | {"macro_auc": None})
    assert "macro AUC" not in entries


def test_methods_compare_by_accuracy_and_auc():
    assert list(REPORT.compared_measures(CLASSIFIED)) == ["accuracy", "macro_auc"]
