"""The lines of rows in figures: colours, legends, and the rows that share a panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.rows import BASELINES, TRIVIAL, base_method
from learn.reporting.figures.legend import UNNAMED, choose_named

_MARKERS = "osD^vP*X<>hp"


def is_ablation(config: CompareConfig, cell: Cell) -> bool:
    """Tell whether a cell belongs to an ablation."""
    return cell.method in config.ablations.names


def rows_of_panel(config: CompareConfig, *, ablations: bool) -> list[str]:
    """The rows of a panel: ablations, their methods and the trivial baselines, or all others."""
    taken_from = {base_method(name) for name in config.ablations.names}
    if ablations:
        shown = {*TRIVIAL, *taken_from, *config.ablations.names}
        return [name for name in config.rows if name in shown]
    return [name for name in config.rows if name not in config.ablations.names]


def rows_with_a_name(scores: Mapping[str, float]) -> list[str]:
    """The rows that the legend of a line of panels names: trivial baselines, and the best others.

    Args:
        scores: of the rows that are drawn, in their order.
    """
    return choose_named(scores, TRIVIAL)


def add_legend(axes: Sequence[Axes], config: CompareConfig) -> None:
    """Add one legend for a line of panels, beside them or in the last, if that is empty."""
    handles = {
        label: handle
        for ax in axes
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    order, last = [name for name in config.rows if name in handles], axes[-1]
    beside = {"bbox_to_anchor": (1.02, 1.02)} if last.axison else {}
    last.legend([handles[name] for name in order], order, loc="upper left", fontsize=9, **beside)


def line_style(config: CompareConfig, name: str, *, named: bool = True) -> dict[str, Any]:
    """Colour, line and marker of a row, the same in all figures.

    Args:
        config: of the tier.
        name: of the row.
        named: the legend names it; others are thin and grey.
    """
    if not named:
        return dict(UNNAMED)
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
