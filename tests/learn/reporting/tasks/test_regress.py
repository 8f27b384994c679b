"""The table of regressed columns."""

import pytest

from learn.reporting.tasks.regress import REPORT
from tests.learn.reporting.conftest import REGRESSED


def test_a_column_without_explained_variance_has_a_gap():
    table = REPORT.table("Test", REGRESSED | {"r2": {}})
    assert [entry.text for entry in table.rows[0]] == [
        *("theta_E", "0.01", "0.02", "0.03", "–", "0.7", "0.96")
    ]


def test_runs_compare_by_the_error_of_each_column():
    assert list(REPORT.headline_entries(REGRESSED)) == ["mae theta_E", "radial mae theta_E"]


def test_metrics_of_another_task_are_refused():
    with pytest.raises(LookupError):
        REPORT.table("Test", {"accuracy": 0.5})


def test_figures_are_described_with_axes_lines_and_numbers():
    alts = REPORT.alt_texts(REGRESSED | {"test_images": 60})
    end = "60 test images. Mean absolute error of theta_E: network 0.01, radial features 0.02."
    assert alts["regression"].endswith(end)
    assert alts["calibration"].startswith("A line a column, 1 in all: the part of the errors")
    assert alts["calibration"].endswith("Intervals of 68% hold: theta_E 0.7.")
    assert REPORT.alt_texts({"mae": {}}) == {}
