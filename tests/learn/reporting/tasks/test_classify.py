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


def test_figures_are_described_with_axes_lines_and_numbers():
    alts = REPORT.alt_texts(CLASSIFIED)
    assert alts["roc"] == (
        "ROC curves, a panel for each of 2 classes: true-positive rate against false-positive "
        "rate, a line each for the network, its baselines and chance. 8 test images. Areas under "
        "the curves: no_sub: network 0.950, radial features 0.600; cdm: network 0.850, radial "
        "features 0.650."
    )
    assert "8 test images, of which 7 lie on the diagonal: accuracy 0.812" in alts["confusion"]
