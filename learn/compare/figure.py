"""Accuracy against the number of labels, a line a method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from learn.compare.cells import Cell
from learn.compare.config import BASELINES, CompareConfig, Mode
from learn.compare.table import Estimate, estimate
from simulate.preview import save_figure

_MARKERS = "osD^vP*X<>hp"
_GREYS = {"radial": "black", "untrained": "0.55", "scratch": "0.35", "resnet18": "0.6"}
_MODES: dict[Mode, str] = {"linear": "linear probe", "full": "fine-tuned"}


def draw_efficiency(
    path: Path, config: CompareConfig, results: Mapping[Cell, Mapping[str, Any]]
) -> Path | None:
    """A row of panels a preset and pair of data sets, a column a mode; means with 95% intervals.

    Returns:
        The path, or None where there is nothing to draw.
    """
    shown = [cell for cell in results if cell.method not in config.protocols]
    rows = sorted(
        {
            (cell.preset, source, cell.finetune_model)
            for cell in shown
            for source in config.pretrain.models
        },
        key=lambda row: (row[0] == "physical", *row),
    )
    modes = [mode for mode in _MODES if any(cell.mode == mode for cell in shown)]
    if not rows:
        return None
    figure = Figure(figsize=(5.2 * len(modes) + 2.0, 3.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(modes), squeeze=False, sharex=True, sharey="row")
    names = [name for name in config.rows if any(cell.method == name for cell in shown)]
    for (preset, source, target), line in zip(rows, axes, strict=True):
        line[0].set_ylabel("accuracy")
        for mode, ax in zip(modes, line, strict=True):
            here = {
                cell: result
                for cell, result in results.items()
                if (cell.preset, cell.finetune_model) == (preset, target)
                and cell in shown
                and cell.pretrain_model in (None, source)
            }
            for name in names:
                _draw_row(ax, config, name, mode, here)
            ax.set_title(f"{preset}, Model {source} to {target}, {_MODES[mode]}", fontsize=10)
            ax.grid(alpha=0.3)
    budgets = sorted({_labels(config, cell) for cell in shown})
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_xlim(budgets[0] / 1.25, budgets[-1] * 1.25)
        ax.set_xticks(budgets, [str(budget) for budget in budgets], minor=False)
        ax.set_xticks([], minor=True)
    for ax in axes[-1]:
        ax.set_xlabel("labels a class")
    handles = {
        label: handle
        for ax in axes.flat
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    order = [name for name in names if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside right upper", fontsize=9)
    save_figure(figure, path)
    return path


def _draw_row(
    ax: Axes,
    config: CompareConfig,
    name: str,
    mode: Mode,
    results: Mapping[Cell, Mapping[str, Any]],
) -> None:
    """The line of one method in one panel; radial features, which need no network, in both."""
    values: dict[int, list[float]] = {}
    for cell, result in results.items():
        if cell.method == name and (cell.mode == mode or name == "radial"):
            accuracy = result["metrics"]["accuracy"]
            values.setdefault(_labels(config, cell), []).append(accuracy)
    if not values:
        return
    points: list[tuple[int, Estimate]] = [
        (labels, estimate(accuracies)) for labels, accuracies in sorted(values.items())
    ]
    number = config.rows.index(name)
    count = len(config.baselines)
    color = _GREYS[name] if name in BASELINES else colormaps["tab10"]((number - count) % 10)
    # Side by side where they would hide one another.
    shift = 1.02 ** (number - len(config.rows) / 2)
    ax.errorbar(
        [labels * shift for labels, _ in points],
        [found.mean for _, found in points],
        [found.interval or 0.0 for _, found in points],
        color=color,
        linestyle="--" if name in BASELINES else "-",
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=5,
        capsize=2,
        linewidth=1.3,
        label=name,
    )


def _labels(config: CompareConfig, cell: Cell) -> int:
    budget = cell.labels_per_class
    return config.finetune.all_labels if budget == "all" else budget
