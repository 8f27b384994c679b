"""Figure of an audit: recognised substructure against its S/N."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensphys.ground.names import figure_text
from simulate.dataset.figures import save_figure


def draw_sensitivity(
    path: Path,
    probability: NDArray[np.float64],
    truth: NDArray[np.int64],
    snr: NDArray[np.float64],
    names: list[str],
) -> Path:
    """Fraction recognised of each class, against the S/N of what its substructure changes."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    correct = probability.argmax(1) == truth
    for i, name in enumerate(map(figure_text, names)):
        members = truth == i
        if not (snr[members] > 0).any():
            ax.axhline(correct[members].mean(), color="0.5", linestyle="--", label=name)
            continue
        order = np.argsort(snr[members])
        bins = np.array_split(order, max(1, min(8, len(order) // 30)))
        x = [np.median(snr[members][rows]) for rows in bins]
        y = np.array([correct[members][rows].mean() for rows in bins])
        counts = np.array([len(rows) for rows in bins])
        error = np.sqrt(y * (1 - y) / counts)
        ax.errorbar(x, y, error, marker="o", markersize=4, capsize=2, label=name)
    ax.set(xscale="log", ylim=(0, 1.03), xlabel="S/N of the perturbation (perturbation_snr)")
    ax.set(ylabel="fraction recognised", title="from the residual against the image's own twin")
    ax.grid(alpha=0.3)
    ax.legend()
    save_figure(figure, path)
    return path
