"""Pictures of a run: curves, ROC, confusion matrix, predictions against truth, triptychs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri
from sklearn.metrics import auc, roc_curve

from simulate.dataset.preview import extent, flux_ticks, save_figure, stretch


def draw_curves(folder: Path, title: str) -> Path:
    """``loss.png``: the losses in ``metrics.csv`` against the epoch."""
    from learn.training.loop import read_curves

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
        both = 0 < (truth == i).sum() < len(truth)
        for who, probability in probabilities.items() if both else ():
            false, true, _ = roc_curve(truth == i, probability[:, i])
            ax.plot(false, true, label=f"{who}, AUC {auc(false, true):.3f}")
        ax.set(title=f"{name} against the rest", xlabel="false-positive rate", box_aspect=1)
        ax.legend(loc="lower right", fontsize=8)
    axes[0].set_ylabel("true-positive rate")
    return _saved(figure, path)


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
    return _saved(figure, path)


def draw_look_alikes(
    path: Path,
    passed: dict[str, NDArray[np.bool_]],
    kinds: NDArray[np.float64],
    names: Sequence[str],
) -> Path:
    """For each kind of look-alike, the part that a finder calls a lens; with Wilson intervals.

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
        low, high = np.array([_wilson(called[kinds == k]) for k in present]).T
        x = np.arange(len(present)) + (i - (len(passed) - 1) / 2) * width
        error = np.maximum([rate - low, high - rate], 0)
        ax.bar(x, rate, width, label=who, alpha=0.8)
        ax.errorbar(x, rate, error, fmt="none", ecolor="0.2", capsize=3)
    labels = [f"{names[k]}\n{(kinds == k).sum()} images" for k in present]
    ax.set_xticks(range(len(present)), labels)
    ax.set(ylabel="called a lens", ylim=(0, None), title="false positives by kind of look-alike")
    ax.legend()
    return _saved(figure, path)


def _wilson(passed: NDArray[np.bool_]) -> tuple[float, float]:
    """68% interval of a fraction, which is not empty for none of few (Wilson 1927)."""
    n, rate = len(passed), passed.mean()
    centre = (rate + 0.5 / n) / (1 + 1 / n)
    half = np.sqrt(rate * (1 - rate) / n + 0.25 / n**2) / (1 + 1 / n)
    return float(centre - half), float(centre + half)


#: Points with error bars that a panel shows; more would hide each other.
_POINTS = 300


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
        ax.set_title(f"{name}\nMAE {metrics['mae'][name]:.3g}{score}", fontsize=9)
        # Where nothing is learnt all predictions lie at the mean, and error bars fill the panel.
        top, bottom = max(ends[1], y.max() + pad), min(ends[0], y.min() - pad)
        ax.set(xlim=ends, ylim=(bottom, top), xlabel="true", box_aspect=1)
        ax.tick_params(labelsize=8)
        ax.locator_params(nbins=5)
        ax.grid(alpha=0.3)
    for ax in axes[::across]:
        ax.set_ylabel("predicted, with 1 sigma")
    return _saved(figure, path)


def draw_calibration(path: Path, z: NDArray[np.float64], columns: list[str]) -> Path:
    """How many errors the central intervals hold, against how many they should.

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
    for k, name in enumerate(columns):
        known = z[np.isfinite(z[:, k]), k]
        if len(known):
            held = (known[:, None] <= limits).mean(0)
            style = "-" if k < 10 else "--"  # colours repeat after ten
            ax.plot(nominal, held, style, linewidth=1.3, label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1)
    ax.set(xlabel="nominal coverage of the interval", ylabel="observed on the test images")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=8)
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
        bar = figure.colorbar(drawn, ax=axes, label=f"flux per pixel [{attrs['unit']}]")
        flux_ticks(bar, *drawn.get_clim())
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    save_figure(figure, path)
    return path
