"""The true-positive rate for subhaloes of a published range of masses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learn.compare.measuring.sensitivity import COLUMNS, FALSE_POSITIVES, HEAVIEST

#: The masses of the published rate, solar masses.
_LOW, _HIGH = 1e9, 10**9.5
#: The title of a table of these rates.
DETECTED = (
    f"True-positive rate at {FALSE_POSITIVES:.0%} false positives, heaviest subhalo of 10^9 to "
    "10^9.5 solar masses"
)
#: The published rate, and how it compares.
PUBLISHED = (
    "Published: 0.71 (arXiv 2401.16624, a U-Net on lenses with multipoles and sources of COSMOS, "
    "for subhaloes of high concentration). Here images of `cdm` count whose heaviest subhalo had "
    "an M200 in this range at infall; each has many others, of the concentrations of cold dark "
    "matter, and the threshold is that of the images of `no_sub` in the test."
)


def detected_share(metrics: Mapping[str, Any]) -> float | None:
    """Fraction of the images in the published range of masses that are detected.

    Args:
        metrics: of a cell.

    Returns:
        None for cells that have not counted them.
    """
    counts = (metrics.get("sensitivity") or {}).get(HEAVIEST, {})
    if "detected" not in counts:
        return None
    edges = COLUMNS[HEAVIEST][0]
    inside = [i for i, low in enumerate(edges[:-1]) if low >= _LOW and edges[i + 1] <= _HIGH]
    count = sum(counts["count"][i] for i in inside)
    return sum(counts["detected"][i] for i in inside) / count if count else None
