"""Figures of regressed columns: predictions against truth, and their calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri

from learn.reporting.figures.legend import MOST, UNNAMED, choose_named
from lensphys.ground.names import figure_text
from simulate.dataset.figures import save_figure

#: Points with error bars that a panel shows; more would hide each other.
_POINTS = 300
#: Characters of the name of a column, where a longer one would leave its panel.
_LONGEST = 32


def draw_regression(
    path: Path,
    mean: NDArray[np.float64],
    sigma: NDArray[np.float64],
    truth: NDArray[np.float64],
    columns: list[str],
    metrics: dict[str, Any],
) -> Path:
    """Predicted against true values with their error bars, a panel a column.

    Args:
        path: to write to.
        mean: (N, K) predicted.
        sigma: (N, K) their standard deviations.
        truth: (N, K), NaN where a column does not apply.
        columns: names of the K columns; those without a value are left out.
        metrics: of :func:`learn.tasks.regress.regression_metrics`.
    """
    shown = [k for k in range(len(columns)) if np.isfinite(truth[:, k]).any()]
    across = min(4, max(1, len(shown)))
    down = -(-max(1, len(shown)) // across)
    figure = Figure(figsize=(3.2 * across, 3.45 * down + 0.3), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for k, ax in zip(shown, axes, strict=False):
        name = columns[k]
        rows = np.flatnonzero(np.isfinite(truth[:, k]))[:_POINTS]
        x, y, error = truth[rows, k], mean[rows, k], sigma[rows, k]
        ax.errorbar(x, y, error, fmt=".", markersize=3, linewidth=0.5, alpha=0.6)
        pad = 0.05 * (np.ptp(x) or 1.0)
        ends = (x.min() - pad, x.max() + pad)
        ax.plot(ends, ends, color="0.3", linewidth=1, zorder=3)
        explained = metrics["r2"].get(name)
        score = "" if explained is None else f", R$^2$ {explained:.3f}"
        ax.set_title(
            f"{figure_text(name, _LONGEST)}\nMAE {metrics['mae'][name]:.3g}{score}", fontsize=9
        )
        # Where nothing is learnt all predictions lie at the mean, and error bars fill the panel.
        top, bottom = max(ends[1], y.max() + pad), min(ends[0], y.min() - pad)
        ax.set(xlim=ends, ylim=(bottom, top), xlabel="true", box_aspect=1)
        ax.tick_params(labelsize=8)
        ax.locator_params(nbins=5)
        ax.grid(alpha=0.3)
    for ax in axes[::across]:
        ax.set_ylabel("predicted, with 1 sigma")
    save_figure(figure, path)
    return path


def draw_calibration(path: Path, z: NDArray[np.float64], columns: list[str]) -> Path:
    """Part of the errors that central intervals hold, against their nominal coverage.

    The legend names the columns that are farthest from it.

    Args:
        path: to write to.
        z: (N, K) moduli of the errors in standard deviations; NaN where there is none.
        columns: names of the K columns; those without a value are left out.
    """
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    ax = figure.subplots()
    nominal = np.linspace(0.02, 0.98, 49)
    limits = ndtri(0.5 + nominal / 2)
    ax.plot([0, 1], [0, 1], color="0.3", linewidth=1, label="as it should be")
    known = {name: z[np.isfinite(z[:, k]), k] for k, name in enumerate(columns)}
    held = {n: (own[:, None] <= limits).mean(0) for n, own in known.items() if len(own)}
    worst = {name: float(np.abs(part - nominal).max()) for name, part in held.items()}
    named = choose_named(worst, most=MOST - 1)
    for name, part in held.items():
        style = {"linewidth": 1.3, "label": figure_text(name)} if name in named else UNNAMED
        ax.plot(nominal, part, **style)
    ax.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    ax.set(xlabel="nominal coverage of the interval", ylabel="observed on the test images")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
    save_figure(figure, path)
    return path
