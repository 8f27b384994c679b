"""Figures of a classification: ROC curves and the confusion matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from lensphys.ground.names import figure_text
from simulate.dataset.figures import save_figure

#: Characters of the name of a class, where a longer one would hide its neighbour's.
_LONGEST = 24


def draw_roc(
    path: Path,
    probabilities: dict[str, NDArray[np.float64]],
    truth: NDArray[np.int64],
    names: list[str],
) -> Path:
    """ROC curves of each class against the rest, one panel a class, one line a classifier."""
    figure = Figure(figsize=(3.6 * len(names), 4.0), layout="constrained")
    axes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for i, (name, ax) in enumerate(zip(names, axes, strict=True)):
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="chance")
        both = 0 < (truth == i).sum() < len(truth)
        for who, probability in probabilities.items() if both else ():
            false, true, _ = roc_curve(truth == i, probability[:, i])
            ax.plot(false, true, label=f"{who}, AUC {auc(false, true):.3f}")
        ax.set(
            title=f"{figure_text(name, _LONGEST)} against the rest",
            xlabel="false-positive rate",
            box_aspect=1,
        )
        ax.legend(loc="lower right", fontsize=8)
    axes[0].set_ylabel("true-positive rate")
    save_figure(figure, path)
    return path


def draw_confusion(path: Path, matrix: NDArray[np.int64], names: list[str]) -> Path:
    """Confusion matrix in counts, coloured by the fraction of each true class."""
    fraction = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(1.2 * len(names) + 2, 1.1 * len(names) + 1.4), layout="constrained")
    ax = figure.subplots()
    drawn = ax.imshow(fraction, vmin=0, vmax=1, cmap="Blues")
    for i in range(len(names)):
        for j in range(len(names)):
            colour = "white" if fraction[i, j] > 0.5 else "black"
            ax.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour)
    shown = [figure_text(name, _LONGEST) for name in names]
    ax.set_xticks(range(len(names)), shown)
    ax.set_yticks(range(len(names)), shown)
    ax.set(xlabel="predicted", ylabel="true")
    figure.colorbar(drawn, label="fraction of the true class")
    save_figure(figure, path)
    return path
