"""Means over seeds."""

import pytest

from learn.compare.showing.estimate import estimate


def test_the_interval_is_that_of_students_t() -> None:
    found = estimate([0.8, 0.9, 1.0])
    assert found.mean == pytest.approx(0.9)
    assert found.interval == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
    assert str(estimate([0.5])) == "0.500 (1)"
