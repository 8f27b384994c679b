"""Accuracy against the number of labels, a line a method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.rows import TRIVIAL, Mode
from learn.compare.showing.estimate import Estimate, estimate
from learn.compare.showing.row_styles import (
    add_legend,
    is_ablation,
    line_style,
    rows_of_panel,
    rows_with_a_name,
)
from simulate.dataset.figures import save_figure

#: Ratios of places, as logarithms: of one row to the next, and of the last to the first.
_STEP, _SPREAD = 0.025, 0.3
_MODES: dict[Mode, str] = {"linear": "linear probe", "full": "fine-tuned"}


def draw_label_efficiency(
    path: Path, config: CompareConfig, results: Mapping[Cell, Mapping[str, Any]]
) -> Path | None:
    """Draw a row of panels a preset and pair of data sets, a column a mode; with 95% intervals.

    Ablations have panels of their own. Each row of panels has a legend of ten rows at most, by
    their accuracy with the most labels.

    Returns:
        The path, or None where there is nothing to draw.
    """
    shown = [cell for cell in results if cell.method not in config.protocols]
    rows = dict.fromkeys(
        (cell.preset, source, cell.finetune_model, is_ablation(config, cell))
        for cell in sorted(shown, key=lambda cell: (_order(cell), is_ablation(config, cell)))
        for source in config.pretrain.models
    )
    modes = [mode for mode in _MODES if any(cell.mode == mode for cell in shown)]
    if not rows:
        return None
    figure = Figure(figsize=(4.8 * len(modes) + 2.0, 3.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(modes), squeeze=False)
    for (preset, source, target, ablations), line in zip(rows, axes, strict=True):
        names = rows_of_panel(config, ablations=ablations)
        panels: dict[Mode, list[Cell]] = {}
        for mode, ax in zip(modes, line, strict=True):
            panel = [
                cell
                for cell in shown
                if (cell.preset, cell.finetune_model) == (preset, target)
                and cell.pretrain_model in (None, source)
                and (cell.mode == mode or cell.method in TRIVIAL)
                and cell.method in names
            ]
            own = [cell for cell in panel if is_ablation(config, cell) == ablations]
            if all(cell.mode != mode for cell in own):
                ax.set_axis_off()
                continue
            panels[mode] = panel
        scores = _scores(config, names, panels.values(), results)
        named = rows_with_a_name(scores)
        for mode, ax in zip(modes, line, strict=True):
            panel = panels.get(mode, [])
            if not panel:
                continue
            step = min(_STEP, _SPREAD / max(len(scores) - 1, 1))
            for number, name in enumerate(scores):
                # Side by side, where they would hide one another.
                aside = math.exp(step * (number - (len(scores) - 1) / 2))
                of_row = {cell: results[cell] for cell in panel if cell.method == name}
                _draw_row(ax, of_row, config, aside, line_style(config, name, named=name in named))
            _dress(ax, sorted({_labels(config, cell) for cell in panel}))
            title = f"{preset}, Model {source} to {target}, {_MODES[mode]}"
            ax.set_title(title + (": ablations" if ablations else ""), fontsize=10)
        add_legend(line, config)
    save_figure(figure, path)
    return path


def _order(cell: Cell) -> tuple[bool, str, int]:
    return cell.preset != "published", cell.preset, cell.finetune_model


def _dress(ax: Axes, budgets: list[int]) -> None:
    ax.set(xscale="log", xlim=(budgets[0] / 1.3, budgets[-1] * 1.3))
    ax.set_xticks(budgets, [str(budget) for budget in budgets])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="labels a class", ylabel="accuracy")
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -0.02), min(high, 1.02))
    ax.grid(alpha=0.3)


def _scores(
    config: CompareConfig,
    names: Iterable[str],
    panels: Iterable[Sequence[Cell]],
    results: Mapping[Cell, Mapping[str, Any]],
) -> dict[str, float]:
    """The best accuracy of each row with the most labels it has, over the panels of a line."""
    cells = [cell for panel in panels for cell in panel]
    scores = {}
    for name in names:
        accuracies: dict[tuple[int, str], list[float]] = {}
        for cell in cells:
            if cell.method == name:
                place = _labels(config, cell), cell.mode
                accuracies.setdefault(place, []).append(results[cell]["metrics"]["accuracy"])
        most = max((labels for labels, _ in accuracies), default=0)
        if accuracies:
            of_most = [found for (labels, _), found in accuracies.items() if labels == most]
            scores[name] = max(estimate(found).mean for found in of_most)
    return scores


def _draw_row(
    ax: Axes,
    results: Mapping[Cell, Mapping[str, Any]],
    config: CompareConfig,
    aside: float,
    style: Mapping[str, Any],
) -> None:
    """The line of one method in one panel."""
    values: dict[int, list[float]] = {}
    for cell, result in results.items():
        values.setdefault(_labels(config, cell), []).append(result["metrics"]["accuracy"])
    if not values:
        return
    points: list[tuple[int, Estimate]] = [
        (labels, estimate(accuracies)) for labels, accuracies in sorted(values.items())
    ]
    ax.errorbar(
        [labels * aside for labels, _ in points],
        [found.mean for _, found in points],
        [found.interval or 0.0 for _, found in points],
        capsize=2,
        **style,
    )


def _labels(config: CompareConfig, cell: Cell) -> int:
    budget = cell.labels_per_class
    return config.finetune.all_labels if budget == "all" else budget
