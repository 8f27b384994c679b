"""Intervals of fractions."""

import pytest
from scipy.stats import binomtest

from learn.fractions import fraction_interval


@pytest.mark.parametrize(("count", "total"), [(0, 12), (3, 50), (10, 500), (500, 500)])
def test_intervals_are_those_of_wilson(count: int, total: int) -> None:
    known = binomtest(count, total).proportion_ci(0.95, method="wilson")
    low, high = fraction_interval(count, total, 1.959964)
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-7)
    assert 0 <= low <= count / total <= high <= 1
    assert low < high


def test_an_interval_of_one_sigma_is_narrower_and_shrinks_with_more_images() -> None:
    wide, narrow = (fraction_interval(5, 10, sigma=sigma) for sigma in (1.96, 1.0))
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]
    many = fraction_interval(500, 1000, sigma=1.0)
    assert many[1] - many[0] < (narrow[1] - narrow[0]) / 5
    assert fraction_interval(0, 10, sigma=1.0) == pytest.approx((0, 1 / 11))
