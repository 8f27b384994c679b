"""Accuracy against the S/N and the mass of substructure: the signal that a method needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.rows import Budget
from learn.compare.showing.row_styles import add_legend, is_ablation, line_style, rows_of_panel
from simulate.dataset.figures import save_figure
from simulate.shards import DataSet

#: Columns of a data set, with the edges of bins and what an axis is called.
COLUMNS = {
    "perturbation_snr": ((0.0, 3.0, 6.0, 12.0, 25.0, 50.0, 100.0, np.inf), "S/N of substructure"),
    "substructure_fraction_ring": (
        (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, np.inf),
        "mass fraction in substructure, inside the Einstein radius",
    ),
}
#: Bins with fewer images are not drawn.
_LEAST = 10


def count_by_signal(
    correct: NDArray[np.bool_], data: DataSet, rows: NDArray[np.int64]
) -> dict[str, dict[str, list[float]]]:
    """Count images with substructure, and those classified correctly, in bins of each column.

    Args:
        correct: true where an image of ``rows`` was classified correctly.
        data: the images.
        rows: indices of those that were tested.

    Returns:
        By column ``median``, ``count`` and ``correct`` of each bin; nothing for a data set
        without the column.
    """
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
        middle = [float(np.median(values[there][rows])) if len(rows) else 0.0 for rows in bins]
        found[name] = {
            "median": middle,
            "count": [float(len(rows)) for rows in bins],
            "correct": [float(correct[there][rows].sum()) for rows in bins],
        }
    return found


def draw_accuracy_by_signal(
    path: Path, config: CompareConfig, results: Mapping[Cell, Mapping[str, Any]]
) -> Path | None:
    """Draw a row of panels a preset, data set and mode, at the largest budget; a line a method.

    Ablations have panels of their own.

    Returns:
        The path, or None where no cell has counts.
    """
    known = {
        cell: result["metrics"]["sensitivity"]
        for cell, result in results.items()
        if cell.method not in config.protocols and result["metrics"].get("sensitivity")
    }
    panels = sorted({(c.preset, c.finetune_model, c.mode, is_ablation(config, c)) for c in known})
    if not panels:
        return None
    figure = Figure(figsize=(12.0, 3.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(COLUMNS), squeeze=False)
    for (preset, model, mode, ablations), line in zip(panels, axes, strict=True):
        own = [c for c in known if (c.preset, c.finetune_model, c.mode) == (preset, model, mode)]
        budget = max((cell.labels_per_class for cell in own), key=_size)
        for ax, (name, (_, title)) in zip(line, COLUMNS.items(), strict=True):
            for row in rows_of_panel(config, ablations=ablations):
                of_row = [
                    known[cell][name]
                    for cell in own
                    if cell.method == row
                    and cell.labels_per_class == budget
                    and name in known[cell]
                ]
                if of_row:
                    ax.plot(*_curve(of_row), **line_style(config, row))
            ax.set(xscale="log", xlabel=title, ylabel="classified correctly", ylim=(-0.02, 1.02))
            title = f"{preset}, Model {model}, {mode}, {budget} labels a class"
            ax.set_title(title + (": ablations" if ablations else ""), fontsize=10)
            ax.grid(alpha=0.3)
    add_legend(figure, config)
    save_figure(figure, path)
    return path


def _size(budget: Budget) -> float:
    return np.inf if budget == "all" else float(budget)


def _curve(seeds: Sequence[Mapping[str, Sequence[float]]]) -> tuple[list[float], list[float]]:
    """Accuracy in each bin that has enough images, over all seeds."""
    count, correct = (
        np.sum([seed[name] for seed in seeds], axis=0) for name in ("count", "correct")
    )
    middle = np.mean([seed["median"] for seed in seeds], axis=0)
    enough = count >= _LEAST * len(seeds)
    return middle[enough].tolist(), (correct[enough] / count[enough]).tolist()
