"""Accuracy and true-positive rate by the signal that a method needs: S/N and masses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullLocator

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.measuring.sensitivity import COLUMNS, FALSE_POSITIVES
from learn.compare.rows import Budget
from learn.compare.showing.row_styles import (
    add_legend,
    is_ablation,
    line_style,
    rows_of_panel,
    rows_with_a_name,
)
from simulate.dataset.figures import save_figure

#: Counts of a bin, and what an axis with their fraction is called.
_MEASURES = {
    "correct": "classified correctly",
    "detected": f"true positives at {FALSE_POSITIVES:.0%} false",
}
#: Bins with fewer images are not drawn.
_LEAST = 10
#: An axis over a smaller range has ticks at 1, 2 and 5 times powers of ten.
_DECADES = 30.0


class _Panels(NamedTuple):
    """Panels that share their rows: a preset, a data set and a mode, for methods or ablations."""

    preset: str
    model: int
    mode: str
    ablations: bool


def draw_accuracy_by_signal(
    path: Path, config: CompareConfig, results: Mapping[Cell, Mapping[str, Any]]
) -> Path | None:
    """Draw a row of panels a preset, data set, mode and measure, at the largest budget.

    A panel a column of the data set, a line a method, pooled over seeds. Ablations have panels of
    their own. The measures are accuracy and, of cells that have counted it, the true-positive rate
    at a tenth of false positives. Each row of panels has a legend of ten rows at most, by the mean
    of their points.

    Returns:
        The path, or None where no cell has counts.
    """
    known = {
        cell: result["metrics"]["sensitivity"]
        for cell, result in results.items()
        if cell.method not in config.protocols and result["metrics"].get("sensitivity")
    }
    places = {c: _Panels(c.preset, c.finetune_model, c.mode, is_ablation(config, c)) for c in known}
    lines = sorted(
        {
            (places[cell], measure)
            for cell, columns in known.items()
            for measure in _MEASURES
            if any(measure in counts for counts in columns.values())
        }
    )
    if not lines:
        return None
    size = (4.4 * len(COLUMNS) + 2.0, 3.3 * len(lines))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(lines), len(COLUMNS), squeeze=False)
    for (place, measure), line in zip(lines, axes, strict=True):
        shown = rows_of_panel(config, ablations=place.ablations)
        own = {
            cell: columns
            for cell, columns in known.items()
            if places[cell][:3] == place[:3] and cell.method in shown
        }
        budget = max((cell.labels_per_class for cell in own), key=_size)
        at_budget = {c: columns for c, columns in own.items() if c.labels_per_class == budget}
        panels = {}
        for name in COLUMNS:
            counts = {
                cell: columns[name]
                for cell, columns in at_budget.items()
                if measure in columns.get(name, ())
            }
            panels[name] = _curves(shown, counts, measure)
        named = rows_with_a_name(_scores(shown, panels.values()))
        for ax, (name, curves) in zip(line, panels.items(), strict=True):
            if not curves:
                ax.set_axis_off()
                continue
            styles = {row: line_style(config, row, named=row in named) for row in curves}
            _draw_panel(ax, curves, styles, measure)
            title = f"{place.preset}, Model {place.model}, {place.mode}, {budget} labels a class"
            ax.set_title(title + (": ablations" if place.ablations else ""), fontsize=9)
            ax.set_xlabel(COLUMNS[name][1], fontsize=9)
        add_legend(line, config)
    save_figure(figure, path)
    return path


def _curves(
    rows: Sequence[str], counts: Mapping[Cell, Mapping[str, Sequence[float]]], measure: str
) -> dict[str, tuple[list[float], list[float]]]:
    """Medians of bins and fractions, of each row that has counted enough images."""
    curves = {}
    for row in rows:
        of_row = [own for cell, own in counts.items() if cell.method == row]
        if of_row:
            curves[row] = _curve(of_row, measure)
    return {row: curve for row, curve in curves.items() if curve[0]}


def _scores(
    rows: Sequence[str], panels: Iterable[Mapping[str, tuple[list[float], list[float]]]]
) -> dict[str, float]:
    """The mean of all points of each row that is drawn."""
    points = {row: [y for curves in panels for y in curves.get(row, ([], []))[1]] for row in rows}
    return {row: float(np.mean(found)) for row, found in points.items() if found}


def _draw_panel(
    ax: Axes,
    curves: Mapping[str, tuple[list[float], list[float]]],
    styles: Mapping[str, Mapping[str, Any]],
    measure: str,
) -> None:
    for row, curve in curves.items():
        ax.plot(*curve, **styles[row])
    ax.set(xscale="log", ylabel=_MEASURES[measure], ylim=(-0.02, 1.02))
    low, high = ax.get_xlim()
    if high < _DECADES * low:  # labels of all minor ticks would hide one another
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
        ax.xaxis.set_minor_locator(NullLocator())
    if measure == "detected":
        ax.axhline(FALSE_POSITIVES, color="0.7", linewidth=1, zorder=0)
    ax.grid(alpha=0.3)


def _size(budget: Budget) -> float:
    return np.inf if budget == "all" else float(budget)


def _curve(
    seeds: Sequence[Mapping[str, Sequence[float]]], measure: str
) -> tuple[list[float], list[float]]:
    """Fraction that is recognised in each bin that has enough images, over all seeds."""
    count, right = (np.sum([seed[name] for seed in seeds], axis=0) for name in ("count", measure))
    middle = np.mean([seed["median"] for seed in seeds], axis=0)
    enough = count >= _LEAST * len(seeds)
    return middle[enough].tolist(), (right[enough] / count[enough]).tolist()
