"""Intervals of measures, from test images that are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

#: Measures of some of the test images, by their positions (n,), each as often as it is drawn.
Measures = Callable[[NDArray[np.int64]], Mapping[str, float]]
#: Draws, and the part of them that an interval holds.
_DRAWS, _PART = 200, 0.95


def bootstrap(measures: Measures, count: int) -> dict[str, list[float]]:
    """95% intervals of measures by the bootstrap (Efron 1979, Ann. Statist. 7, 1).

    For means and areas; a sum of moduli, as the calibration error, grows when it is drawn again.
    The scatter of the choice of test images alone: not that of training, which seeds show.

    Args:
        measures: of some of the images; what it does not return for a draw does not count there.
        count: number of test images.

    Returns:
        Low and high end of each measure: percentiles over draws of as many images, the same ones
        for every run.
    """
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(_DRAWS):
        for name, value in measures(rng.integers(count, size=count)).items():
            found.setdefault(name, []).append(value)
    ends = 0.5 * (1 - _PART), 0.5 * (1 + _PART)
    return {name: np.quantile(values, ends).tolist() for name, values in found.items()}
