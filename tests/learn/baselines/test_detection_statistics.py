"""Statistics of S/N maps classify without a network."""

from types import SimpleNamespace

import numpy as np
import torch

from learn.baselines.detection_statistics import DetectionBaseline, detection_features

WIDTH = DetectionBaseline.width


def fits(statistics: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(statistics=torch.from_numpy(statistics).float())


def test_features_are_logarithms_of_moduli_and_finite_where_nothing_is_seen() -> None:
    statistics = np.zeros((2, WIDTH))
    statistics[1, 0], statistics[1, 2] = 10.0, -10.0
    features = detection_features(fits(statistics))
    assert features.shape == (2, WIDTH)
    np.testing.assert_allclose(features[0], np.log(1e-3))
    np.testing.assert_allclose(features[1, [0, 2]], np.log(10.001))


def test_larger_signals_are_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(120) % 2
    scale = np.where(label == 1, 3.0, 1.0)[:, None]
    found = fits(rng.normal(size=(120, WIDTH)) * scale)
    baseline = DetectionBaseline(2)
    baseline.fit_classes(found, label)
    assert (baseline.probabilities(found).argmax(1) == label).mean() > 0.95
