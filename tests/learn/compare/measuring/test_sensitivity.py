"""Images are counted by the strength of the signal in them."""

from pathlib import Path

import numpy as np
import pytest

from learn.compare.measuring.sensitivity import COLUMNS, count_by_signal, find_threshold
from simulate.shards import DataSet

NAMES = ["no_sub", "cdm", "axion"]


def data_set(label: np.ndarray, **params: np.ndarray) -> DataSet:
    image = np.ones((len(label), 1, 8, 8), np.float32)
    return DataSet(Path("data"), image, label, params, None, {"label_names": NAMES}, {})


def certain(label: np.ndarray) -> np.ndarray:
    return np.eye(3)[label]


def test_images_are_counted_by_the_strength_of_their_signal() -> None:
    snr = np.array([0.0, 1.0, 2.0, 5.0, 30.0, 40.0, 1e4])
    correct = np.array([True, False, False, True, True, False, True])
    label = np.array([0, 1, 2, 1, 2, 1, 2])
    predicted = np.where(correct, label, (label + 1) % 3)
    found = count_by_signal(certain(predicted), data_set(label, perturbation_snr=snr), np.arange(7))
    bins = found["perturbation_snr"]
    assert bins["count"] == [2, 1, 0, 0, 2, 0, 1], "without substructure there is no signal"
    assert bins["correct"] == [0, 1, 0, 0, 1, 0, 1]
    assert bins["median"][0] == pytest.approx(1.5)
    assert "substructure_fraction_ring" not in found


def test_only_the_images_that_were_tested_count() -> None:
    fraction = np.geomspace(0.0005, 0.03, 40)
    label, rows = np.ones(40, np.int64), np.arange(0, 40, 2)
    data = data_set(label, substructure_fraction_ring=fraction)
    bins = count_by_signal(certain(label[rows]), data, rows)["substructure_fraction_ring"]
    assert sum(bins["count"]) == sum(bins["correct"]) == 20
    assert "detected" not in bins, "no threshold without images of no_sub"
    edges = COLUMNS["substructure_fraction_ring"][0]
    for low, middle, high in zip(edges, bins["median"], edges[1:], strict=False):
        assert low <= middle <= high


def test_a_data_set_that_knows_no_strength_has_no_sensitivity() -> None:
    label = np.zeros(3, np.int64)
    data = data_set(label, perturbation_snr=np.zeros(3))
    assert count_by_signal(certain(label), data, np.arange(3)) == {}


@pytest.mark.parametrize(("rate", "passed"), [(0.1, 51), (0.099, 50), (0.0, 0)])
def test_a_threshold_lets_that_many_pass(rate: float, passed: int) -> None:
    scores = np.random.default_rng(0).normal(size=510)
    assert (scores > find_threshold(scores, rate)).sum() == passed


def test_a_tenth_of_the_images_without_substructure_sets_the_threshold() -> None:
    """Scores uniform in [0, 1] for no_sub, and 0.8 or 0.95 for cdm: below and above 0.9."""
    score = np.concatenate([np.linspace(0, 1, 101), [0.8, 0.95, 0.95]])
    label = np.concatenate([np.zeros(101, np.int64), [1, 1, 1]])
    mass = np.concatenate([np.full(101, np.nan), [2e9, 2.5e9, 8e9]])
    probability = np.stack([1 - score, score / 2, score / 2], 1)
    found = count_by_signal(
        probability, data_set(label, heaviest_subhalo_mass=mass), np.arange(104)
    )
    bins = found["heaviest_subhalo_mass"]
    assert bins["count"] == [0, 0, 2, 0, 1], "no_sub has no subhalo"
    assert bins["detected"] == [0, 0, 1, 0, 1]


def test_a_prediction_that_is_no_number_is_wrong_on_both_sides() -> None:
    label = np.array([0] * 10 + [1, 1])
    probability = np.tile([0.9, 0.05, 0.05], (12, 1))
    probability[10:] = [0.2, 0.7, 0.1]
    snr = np.array([0.0] * 10 + [10.0, 10.0])
    lost = probability.copy()
    lost[[0, 1, 10]] = np.nan  # two false positives, where one is allowed
    data = data_set(label, perturbation_snr=snr)
    whole, part = (count_by_signal(p, data, np.arange(12)) for p in (probability, lost))
    assert whole["perturbation_snr"]["detected"][2] == 2
    assert part["perturbation_snr"]["detected"][2] == 0
    assert part["perturbation_snr"]["correct"][2] == 1
