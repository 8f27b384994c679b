"""Linear models of features, kept as buffers of a network."""

import numpy as np
import pytest
import torch

from learn.baselines.linear import LinearBaseline, linear_classifier


class OfNumbers(LinearBaseline[np.ndarray]):
    width = 3
    strength = 0.5

    @staticmethod
    def features(given: np.ndarray) -> np.ndarray:
        return 2 * given + 1


@pytest.mark.parametrize("classes", [2, 3])
def test_what_is_kept_predicts_what_was_fitted(classes: int) -> None:
    rng = np.random.default_rng(0)
    label = np.arange(90) % classes
    given = rng.normal(size=(90, 3)) * [1, 10, 100] + np.eye(3)[label] * [1, 10, 100]
    baseline = OfNumbers(classes)
    baseline.fit_classes(given, label)
    restored = OfNumbers(classes)
    restored.load_state_dict(baseline.state_dict())
    expected = linear_classifier(0.5).fit(2 * given + 1, label).predict_proba(2 * given + 1)
    np.testing.assert_allclose(restored.probabilities(given), expected, rtol=1e-9)


def test_a_column_is_fitted_where_it_is_known() -> None:
    given = np.random.default_rng(0).normal(size=(200, 3))
    columns = given @ np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    columns[::2, 1] = np.nan
    baseline = OfNumbers(2)
    baseline.fit_columns(given, columns)
    truth = given @ np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(baseline.outputs(given), truth, atol=0.1)
    assert baseline.weight.dtype == torch.float64
