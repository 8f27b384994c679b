"""The lines of rows in figures: colours, legends, and the rows that share a panel."""

from __future__ import annotations

from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.rows import BASELINES, base_method

_MARKERS = "osD^vP*X<>hp"


def is_ablation(config: CompareConfig, cell: Cell) -> bool:
    """Tell whether a cell belongs to an ablation."""
    return cell.method in config.ablations.names


def rows_of_panel(config: CompareConfig, *, ablations: bool) -> list[str]:
    """The rows that share a panel: ablations and their methods, or all others."""
    taken_from = dict.fromkeys(base_method(name) for name in config.ablations.names)
    if ablations:
        return [*taken_from, *config.ablations.names]
    return [name for name in config.rows if name not in config.ablations.names]


def add_legend(figure: Figure, config: CompareConfig) -> None:
    """Add one legend for all panels, with the rows that are drawn, in their order."""
    handles = {
        label: handle
        for ax in figure.axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    order = [name for name in config.rows if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside right upper", fontsize=9)


def line_style(config: CompareConfig, name: str) -> dict[str, Any]:
    """Colour, line and marker of a row, the same in all figures."""
    number = config.rows.index(name)
    method = number - len(config.baselines)
    return {
        "color": BASELINES[name].shade if name in BASELINES else colormaps["tab20"](method % 20),
        "linestyle": "--" if name in BASELINES else "-",
        "marker": _MARKERS[number % len(_MARKERS)],
        "markersize": 5,
        "linewidth": 1.3,
        "label": name,
    }
