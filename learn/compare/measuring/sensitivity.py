"""Counts of what is recognised, by the signal in an image: S/N and masses of its substructure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulate.substructure import DEEPLENSE_CLASSES

if TYPE_CHECKING:
    from simulate.shards import DataSet

_SMOOTH = DEEPLENSE_CLASSES[0]
#: The mass of the heaviest subhalo: its column.
HEAVIEST = "heaviest_subhalo_mass"
#: Columns of a data set, with the edges of bins and what an axis is called.
COLUMNS = {
    "perturbation_snr": ((0.0, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0, np.inf), "S/N of substructure"),
    HEAVIEST: (
        (0.0, 1e9, 10**9.25, 10**9.5, 10**9.75, np.inf),
        "cdm: M200 of the heaviest subhalo at infall, solar masses",
    ),
    "substructure_fraction_ring": (
        (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, np.inf),
        "mass fraction in substructure, inside the Einstein radius",
    ),
}
#: Part of the images without substructure that may be taken to have some.
FALSE_POSITIVES = 0.1


def count_by_signal(
    probability: NDArray[np.floating[Any]], data: DataSet, rows: NDArray[np.int64]
) -> dict[str, dict[str, list[float]]]:
    """Count images with substructure, and those that are recognised, in bins of each column.

    An image is detected where its ``p(no_sub)`` is below that of all but a tenth of the images
    without substructure.

    Args:
        probability: (N, C) predicted; NaN counts as wrong.
        data: the images.
        rows: (N,) indices of those that were tested.

    Returns:
        By column ``median``, ``count``, ``correct`` and ``detected`` of each bin; nothing for a
        data set without the column, and no ``detected`` where no image lacks substructure.
    """
    truth, known = data.label[rows], np.isfinite(probability).all(1)
    recognised = {"correct": known & (probability.argmax(1) == truth)}
    smooth_class = data.label_names.index(_SMOOTH)
    smooth = truth == smooth_class
    if smooth.any():
        score = -probability[:, smooth_class]
        score = np.where(known, score, np.where(smooth, np.inf, -np.inf))
        recognised["detected"] = score > find_threshold(score[smooth], FALSE_POSITIVES)
    found = {}
    for name, (edges, _) in COLUMNS.items():
        if name not in data.params:
            continue
        values = data.params[name][rows]
        there = values > 0
        if not there.any():
            continue
        which = np.digitize(values[there], edges[1:-1])
        bins = [np.flatnonzero(which == i) for i in range(len(edges) - 1)]
        middle = [float(np.median(values[there][own])) if len(own) else 0.0 for own in bins]
        found[name] = {"median": middle, "count": [float(len(own)) for own in bins]}
        for measure, of in recognised.items():
            found[name][measure] = [float(of[there][own].sum()) for own in bins]
    return found


def find_threshold(scores: NDArray[np.floating[Any]], rate: float) -> float:
    """The least score that at most a fraction ``rate`` of these scores (N,) exceeds."""
    passed = int(rate * len(scores) + 1e-9)
    return float(np.sort(scores)[::-1][passed])
