"""Legends that can be read: ten lines at most have a name, and the others are thin and grey."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: Entries of a legend.
MOST = 10
#: Style of the lines without a name.
UNNAMED: dict[str, Any] = {"color": "0.82", "linewidth": 0.8, "linestyle": "-", "zorder": 1}


def choose_named(
    scores: Mapping[str, float], always: Collection[str] = (), most: int = MOST
) -> list[str]:
    """Choose the lines that a legend names.

    Args:
        scores: of the lines, by name, in the order of the legend.
        always: lines that have a name whatever their score.
        most: entries of the legend.

    Returns:
        The names: those in ``always`` and the best of the others, in the order of ``scores``.
    """
    best = sorted(scores, key=lambda name: (name in always, scores[name]), reverse=True)[:most]
    return [name for name in scores if name in best]
