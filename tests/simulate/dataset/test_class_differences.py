"""The difference between classes is that of scipy's Kolmogorov-Smirnov test."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from simulate.dataset.class_differences import class_difference
from simulate.dataset.summary import Column


def column(values, labels):
    values = np.asarray(values, float)
    return Column("a", len(values), values.min(), values.max(), values, np.asarray(labels))


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.25, 0.3, 0.35, 0.4, 0.5, 2.0])
@pytest.mark.parametrize("counts", [(200, 200), (50, 400)])
def test_it_is_the_largest_distance_that_is_beyond_chance(shift, counts):
    rng = np.random.default_rng(int(100 * shift))
    first, second = rng.normal(0, 1, counts[0]), rng.normal(shift, 1, counts[1])
    expected = ks_2samp(first, second, method="asymp")
    found = class_difference(
        column(np.concatenate([first, second]), np.repeat([0, 1], counts)), classes=2
    )
    assert found == pytest.approx(expected.statistic if expected.pvalue < 1e-4 else 0.0)


def test_a_class_of_a_few_images_proves_nothing():
    values = [0.0] * 7 + [1.0] * 200
    assert class_difference(column(values, [0] * 7 + [1] * 200), classes=2) == 0.0
    assert class_difference(column(values, [0] * 207), classes=1) == 0.0
