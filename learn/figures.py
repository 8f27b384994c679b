"""Pictures of a run: curves, ROC, confusion matrix, super-resolution triptychs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve

from simulate.preview import extent, save_figure, stretch


def draw_curves(folder: Path, title: str) -> Path:
    """``loss.png``: the losses in ``metrics.csv`` against the epoch."""
    from learn.train import read_curves

    rows = read_curves(folder / "metrics.csv")
    names = [name for name in rows[0] if name.endswith("loss")]
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    for name in names:
        points = [(int(row["epoch"]) + 1, float(row[name])) for row in rows if row[name]]
        label = {"train_loss": "training", "val_loss": "validation"}.get(name, name)
        ax.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
    ax.set(xlabel="epoch", ylabel="loss", title=title)
    if all(float(row[name]) > 0 for row in rows for name in names if row[name]):
        ax.set_yscale("log")
    ax.grid(alpha=0.3)
    ax.legend()
    return _saved(figure, folder / "loss.png")


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
        for who, probability in probabilities.items():
            false, true, _ = roc_curve(truth == i, probability[:, i])
            ax.plot(false, true, label=f"{who}, AUC {auc(false, true):.3f}")
        ax.set(title=f"{name} against the rest", xlabel="false-positive rate", box_aspect=1)
        ax.legend(loc="lower right", fontsize=8)
    axes[0].set_ylabel("true-positive rate")
    return _saved(figure, path)


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
    for i, name in enumerate(names):
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
    return _saved(figure, path)


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
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="predicted", ylabel="true")
    figure.colorbar(drawn, label="fraction of the true class")
    return _saved(figure, path)


def draw_triptychs(
    path: Path,
    low: NDArray[np.float32],
    plain: NDArray[np.float32],
    predicted: NDArray[np.float32],
    truth: NDArray[np.float32],
    attrs: dict[str, Any],
    metrics: dict[str, float],
    rows: int = 3,
) -> Path:
    """Low resolution, bicubic, super-resolved and true image, a row an image, in arcsec."""
    rows = min(rows, len(truth))
    figure = Figure(figsize=(12.4, 2.75 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False, sharex=True, sharey=True)
    titles = [
        "low resolution",
        f"bicubic, {metrics['bicubic_psnr']:.2f} dB",
        f"super-resolved, {metrics['psnr']:.2f} dB",
        "high resolution (truth)",
    ]
    factor = truth.shape[-1] // low.shape[-1]
    norm = stretch(truth[:rows])
    drawn = None
    for i in range(rows):
        # The low-resolution pixels are larger: shown as flux in a high-resolution pixel's area.
        panels = (low[i, 0] / factor**2, plain[i, 0], predicted[i, 0], truth[i, 0])
        for ax, image, title in zip(axes[i], panels, titles, strict=True):
            edges = extent(truth.shape, float(attrs["pixel_scale"]))
            drawn = ax.imshow(image, origin="lower", extent=edges, norm=norm, cmap="magma")
            if i == 0:
                ax.set_title(title)
            if i == rows - 1:
                ax.set_xlabel("x [arcsec]")
        axes[i, 0].set_ylabel("y [arcsec]")
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, label=f"flux per pixel [{attrs['unit']}]")
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    save_figure(figure, path)
    return path
