"""Intervals of measures."""

import numpy as np
import pytest

from learn.fractions import fraction_interval
from learn.tasks.intervals import bootstrap


def test_intervals_of_a_fraction_are_those_of_its_counts() -> None:
    right = np.arange(400) < 300
    low, high = bootstrap(lambda take: {"accuracy": right[take].mean()}, 400)["accuracy"]
    expected = fraction_interval(300, 400)
    assert (low, high) == pytest.approx(expected, abs=0.015)


def test_intervals_are_the_same_each_time_and_of_what_was_measured() -> None:
    values = np.random.default_rng(1).normal(size=100)

    def measure(take: np.ndarray) -> dict[str, float]:
        mean = float(values[take].mean())
        return {"mean": mean} | ({"positive": mean} if mean > 0 else {})

    found = bootstrap(measure, 100)
    assert found == bootstrap(measure, 100)
    assert found["mean"][1] - found["mean"][0] == pytest.approx(3.92 * 0.1, rel=0.3)
    assert found["positive"][0] >= 0
