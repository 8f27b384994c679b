"""Figures of a lens finder: its ROC curve, and the look-alikes that it calls lenses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from learn.fractions import fraction_interval
from lensphys.ground.names import figure_text
from simulate.dataset.figures import save_figure

#: Characters of the name of a kind, where a longer one would hide its neighbour's.
_LONGEST = 24


def draw_finder(
    path: Path,
    log_odds: dict[str, tuple[NDArray[np.float64], float]],
    truth: NDArray[np.bool_],
) -> Path:
    """ROC curves of lens finders, with a logarithmic axis of false positives.

    Args:
        path: to write to.
        log_odds: of a lens (N,), and the threshold, by finder.
        truth: (N,) whether an image is a lens.
    """
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    ax = figure.subplots()
    smallest = 1 / (~truth).sum()
    chance = np.geomspace(smallest / 2, 1, 100)
    ax.plot(chance, chance, color="0.7", linewidth=1, label="chance")
    for who, (score, threshold) in log_odds.items():
        false, true, _ = roc_curve(truth, score, drop_intermediate=False)
        shown = np.maximum(false, smallest / 2)  # a logarithm has no place for none
        label = f"{who}, AUC {auc(false, true):.3f}"
        (line,) = ax.plot(shown, true, label=label, drawstyle="steps-post")
        called = score >= threshold
        at = max(called[~truth].mean(), smallest / 2), called[truth].mean()
        ax.plot(*at, "o", color=line.get_color())
    ax.plot([], [], "o", color="0.3", label="threshold from validation")
    for rate in (1e-2, 1e-3):
        if rate > smallest / 2:
            ax.axvline(rate, color="0.7", linestyle=":", linewidth=1)
    ax.set(xscale="log", xlim=(smallest / 2, 1), ylim=(0, 1.02))
    ax.set(xlabel="false-positive rate (at the left edge: none)")
    ax.set(ylabel="lenses found", title=f"{truth.sum()} lenses, {(~truth).sum()} others")
    ax.grid(alpha=0.3)
    ax.legend(loc="best", fontsize=8)
    save_figure(figure, path)
    return path


def draw_look_alikes(
    path: Path,
    passed: dict[str, NDArray[np.bool_]],
    kinds: NDArray[np.float64],
    names: Sequence[str],
) -> Path:
    """Draw the part of each kind of look-alike that a finder calls lenses, with Wilson intervals.

    Args:
        path: to write to.
        passed: (N,) whether an image is called a lens, by finder.
        kinds: (N,) position in ``names``; NaN for lenses.
        names: of the kinds.
    """
    present = [k for k in range(len(names)) if (kinds == k).any()]
    figure = Figure(figsize=(1.2 * len(present) + 2.5, 4), layout="constrained")
    ax = figure.subplots()
    width = 0.8 / len(passed)
    for i, (who, called) in enumerate(passed.items()):
        rate = np.array([called[kinds == k].mean() for k in present])
        parts = [called[kinds == k] for k in present]
        low, high = np.array([fraction_interval(int(p.sum()), len(p), sigma=1) for p in parts]).T
        x = np.arange(len(present)) + (i - (len(passed) - 1) / 2) * width
        error = np.maximum([rate - low, high - rate], 0)
        ax.bar(x, rate, width, label=who, alpha=0.8)
        ax.errorbar(x, rate, error, fmt="none", ecolor="0.2", capsize=3)
    labels = [f"{figure_text(names[k], _LONGEST)}\n{(kinds == k).sum()} images" for k in present]
    ax.set_xticks(range(len(present)), labels)
    ax.set(ylabel="called a lens", ylim=(0, None), title="false positives by kind of look-alike")
    ax.legend()
    save_figure(figure, path)
    return path
