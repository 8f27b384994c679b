"""The pictures of a comparison on a page: captions, descriptions, and all rows below each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from learn.compare.cell_files import LABEL_EFFICIENCY, SENSITIVITY, CellFile
from learn.compare.measuring.sensitivity import COLUMNS
from learn.compare.rows import TRIVIAL, mode_columns
from learn.compare.showing.cell_tables import count_tested_of, metric_of, table_of_columns
from learn.reporting.pictures import Picture, find_pictures
from learn.reporting.table import Table

_NAMED = (
    "A legend names ten rows at most, the trivial baselines and the best; the others are thin and "
    "grey, and all are in the table below."
)
_CAPTIONS = {
    Path(LABEL_EFFICIENCY).stem: (
        "Accuracy against the number of labels a class, a line a method; means over seeds with "
        f"their 95% intervals. {_NAMED}"
    ),
    Path(SENSITIVITY).stem: (
        "Accuracy, and the true-positive rate at 10% false positives of images without "
        "substructure, against the S/N of the substructure, the mass of the heaviest subhalo and "
        f"the mass fraction; a line a method, pooled over seeds. {_NAMED}"
    ),
}
#: The measure by which the rows of each picture are told, and the axes of its panels.
_SHOWN: Mapping[str, tuple[str, str, Callable[[CellFile], float | None]]] = {
    Path(LABEL_EFFICIENCY).stem: (
        "Accuracy with the most labels",
        "accuracy against the number of labels a class, on a logarithmic axis",
        lambda cell: metric_of("accuracy", cell),
    ),
    Path(SENSITIVITY).stem: (
        "Part of the images with substructure that is classified correctly",
        "the part of the images that is classified correctly, or detected, from 0 to 1, against "
        f"{', '.join(words for _, words in COLUMNS.values())}, on logarithmic axes",
        lambda cell: _recognised(cell),
    ),
}


def comparison_pictures(folder: Path, cells: Sequence[CellFile]) -> list[Picture]:
    """Read the pictures of a comparison.

    Args:
        folder: of the tier.
        cells: those that the pictures show, of which no protocol of an earlier system is.

    Raises:
        InputError: for a picture that is damaged, too large or outside of the folder.
    """
    tables, alts, captions = {}, {}, dict(_CAPTIONS)
    for name, (measure, axes, value_of) in _SHOWN.items():
        shown = [cell for cell in cells if value_of(cell) is not None]
        if shown:
            columns = _panels(shown)
            tables[name] = table_of_columns(f"{measure}, by panel", columns, value_of)
            tested = "".join(
                f" {words}." for words in count_tested_of(cell.metrics for cell in shown)
            )
            captions[name] += tested
            alts[name] = f"Line charts, {len(columns)} panels: {axes}.{tested} "
            alts[name] += _headline(tables[name])
    return find_pictures(folder, captions, alts, tables)


def _panels(cells: Sequence[CellFile]) -> dict[str, list[CellFile]]:
    """The cells of each preset, data set and mode that have the most labels, by these in words."""
    panels: dict[str, list[CellFile]] = {}
    places = sorted({(c.preset != "published", c.preset, c.finetune_model) for c in cells})
    for _, preset, model in places:
        own = [c for c in cells if (c.preset, c.finetune_model) == (preset, model)]
        most = dict(mode_columns((c.mode, c.labels_per_class) for c in own))  # the last of a mode
        for mode, budget in most.items():
            at = [c for c in own if (c.mode, c.labels_per_class) == (mode, budget)]
            panels[f"{preset}, Model {model}, {mode} {budget}"] = at
    return panels


def _headline(table: Table) -> str:
    """The panel with the most rows, in words: how many there are, the best, and the baselines."""
    counts = [sum(row[k].value is not None for row in table.rows) for k in range(len(table.head))]
    panel = int(np.argmax(counts))
    rows = [row for row in table.rows if row[panel].value is not None]
    best = max(rows, key=lambda row: row[panel].value or 0.0)
    baselines = [row for row in rows if row[0].text in TRIVIAL]
    shown = [f"best {best[0].text} {best[panel].text}"]
    shown += [f"{row[0].text} {row[panel].text}" for row in baselines]
    return (
        f"{len(table.rows)} rows in all. With {counts[panel]} of them, {table.head[panel]}: "
        f"{', '.join(shown)}."
    )


def _recognised(cell: CellFile) -> float | None:
    """The part of the images with substructure that is classified correctly."""
    counts = (cell.metrics.get("sensitivity") or {}).get(next(iter(COLUMNS)))
    if not counts or not sum(counts["count"]):
        return None
    return float(sum(counts["correct"]) / sum(counts["count"]))
