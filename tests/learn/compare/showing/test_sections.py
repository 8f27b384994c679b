"""A comparison on a page: tables with intervals, protocols, and damaged cells."""

from pathlib import Path

import pytest

from tests.learn.reporting.conftest import (
    compared,
    read_report,
)


def test_a_comparison_has_means_with_intervals_by_which_it_is_sorted(tmp_path: Path) -> None:
    found = read_report(compared(tmp_path / "smoke"))
    of_rows, table, values = found.tables[0], found.tables[1], found.values[1]
    assert of_rows[0][2:] == ["published, Model 3, linear 10", "published, Model 3, full 10"]
    assert table[0] == ["method", "pretrained on", "linear 10", "full 10"]
    # Half of the interval: 12.7062 (Student, one degree of freedom) times 0.1 / 2.
    assert table[1] == ["radial", "–", "0.550 ± 0.635 (2)", "–"]
    assert [row[0] for row in table[1:]] == ["radial", "scratch", "mae"]
    assert float(values[1][2] or "nan") == pytest.approx(0.55)
    assert values[1][3] is None
    assert table[2][3] == "0.600 ± 0.635 (2)"
    (plan,) = [rows for rows in found.tables if rows[0][:3] == ["metric", "published", "here"]]
    assert plan[1] == ["accuracy", "0.67", "0.700 ± 0.635 (2)", "0.250 ± 0.000 (2)"]
    cells = found.tables[-1]
    assert len(cells) == 1 + 8
    assert "Code 0123456789ab" in found.said
    assert "n: 60" in found.said
    assert "Contents" in found.said


def test_a_tier_of_ones_own_has_no_published_numbers(tmp_path: Path) -> None:
    found = read_report(compared(tmp_path / "mine"))
    assert "Protocol" not in found.said
    assert "mae:plan" in [row[0] for row in found.tables[0]]
