"""Tables of cells: a row a method and what it was pretrained on, and the test images they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from learn.compare.cell_files import CellFile
from learn.compare.rows import BASELINES, mode_columns
from learn.compare.showing.estimate import estimate, has_numbers, read_metric
from learn.reporting.table import Entry, Table
from learn.reporting.task_report import count_tested

#: The places of baselines among the rows; methods follow.
_PLACES = {name: place for place, name in enumerate(BASELINES)}


def make_table(
    title: str, cells: Sequence[CellFile], value_of: Callable[[CellFile], float | None]
) -> Table:
    """Make a table of one preset and model: a column a mode and budget.

    Args:
        title: of the table, which the number of test images follows.
        cells: of the same images.
        value_of: the number of a cell; None for one without.
    """
    places = mode_columns((cell.mode, cell.labels_per_class) for cell in cells)
    columns = {
        f"{mode} {budget}": [c for c in cells if (c.mode, c.labels_per_class) == (mode, budget)]
        for mode, budget in places
    }
    return table_of_columns(
        ", ".join([title, *count_tested_of(c.metrics for c in cells)]), columns, value_of
    )


def table_of_columns(
    title: str,
    columns: Mapping[str, Sequence[CellFile]],
    value_of: Callable[[CellFile], float | None],
) -> Table:
    """Make a table of means over seeds.

    Args:
        title: of the table.
        columns: their cells, by head.
        value_of: the number of a cell; None for one without.
    """
    rows = []
    for row in sorted({row_of(cell) for cells in columns.values() for cell in cells}):
        _, method, pretrained, _ = row
        entries = [
            mean_of(value_of(cell) for cell in cells if row_of(cell) == row)
            for cells in columns.values()
        ]
        rows.append([Entry(method), Entry(pretrained), *entries])
    return Table(title, ("method", "pretrained on", *columns), rows)


def row_of(cell: CellFile) -> tuple[int, str, str, int]:
    """The row of a cell, by which rows are sorted: baselines, methods, ablations."""
    place = _PLACES.get(cell.method, len(_PLACES) + (":" in cell.method))
    model = cell.pretrain_model
    return place, cell.method, "–" if model is None else f"Model {model}", model or 0


def metric_of(name: str, cell: CellFile) -> float | None:
    """A metric of a cell by its name; None where it has no such number."""
    return read_metric(cell.metrics, name) if has_numbers(cell.metrics, [name]) else None


def mean_of(measured: Iterable[float | None]) -> Entry:
    """The mean over seeds with its 95% interval, without those that are None."""
    values = [value for value in measured if value is not None]
    if not values:
        return Entry("–")
    found = estimate(values)
    return Entry(str(found), found.mean)


def count_tested_of(metrics: Iterable[Mapping[str, Any]]) -> list[str]:
    """The number of test images of cells in words, or the range; empty where none is known."""
    counts = sorted({n for each in metrics if (n := count_tested(each)) is not None})
    if not counts:
        return []
    return [f"{' to '.join(f'{n:,}' for n in dict.fromkeys((counts[0], counts[-1])))} test images"]
