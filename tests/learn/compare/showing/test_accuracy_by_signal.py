"""Images are counted by the strength of the signal in them."""

from pathlib import Path

import numpy as np
import pytest

from learn.compare.showing.accuracy_by_signal import COLUMNS, count_by_signal
from simulate.shards import DataSet


def data_set(**params: np.ndarray) -> DataSet:
    count = len(next(iter(params.values())))
    image = np.ones((count, 1, 8, 8), np.float32)
    return DataSet(Path("data"), image, np.zeros(count, np.int64), params, None, {}, {})


def test_images_are_counted_by_the_strength_of_their_signal() -> None:
    snr = np.array([0.0, 1.0, 2.0, 5.0, 30.0, 40.0, 1e4])
    correct = np.array([True, False, False, True, True, False, True])
    found = count_by_signal(correct, data_set(perturbation_snr=snr), np.arange(7))
    bins = found["perturbation_snr"]
    assert bins["count"] == [2, 1, 0, 0, 2, 0, 1], "without substructure there is no signal"
    assert bins["correct"] == [0, 1, 0, 0, 1, 0, 1]
    assert bins["median"][0] == pytest.approx(1.5)
    assert "substructure_fraction_ring" not in found


def test_only_the_images_that_were_tested_count() -> None:
    fraction = np.geomspace(0.0005, 0.03, 40)
    rows = np.arange(0, 40, 2)
    found = count_by_signal(np.ones(20, bool), data_set(substructure_fraction_ring=fraction), rows)
    bins = found["substructure_fraction_ring"]
    assert sum(bins["count"]) == sum(bins["correct"]) == 20
    edges = COLUMNS["substructure_fraction_ring"][0]
    for low, middle, high in zip(edges, bins["median"], edges[1:], strict=False):
        assert low <= middle <= high


def test_a_data_set_that_knows_no_strength_has_no_sensitivity() -> None:
    snr = np.zeros(3)
    assert count_by_signal(np.ones(3, bool), data_set(perturbation_snr=snr), np.arange(3)) == {}
