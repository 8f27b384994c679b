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
