"""The files of a comparison: their names, and the cells in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from learn.compare.rows import Budget
from learn.compare.showing.estimate import has_numbers
from learn.tasks import task_report
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_output

if TYPE_CHECKING:
    from learn.compare.cell import Cell

#: The folder of the cells of a tier, and the files made from them.
CELLS, TABLE = "cells", "table.md"
LABEL_EFFICIENCY, SENSITIVITY = "label_efficiency.png", "sensitivity.png"
#: Results depend on these by their rounding alone; a cell names the device that it was computed on.
_NOT_COMPARED = {"device"}


#: Lists of each column of the ``sensitivity`` of a cell; later versions count more.
_COUNTS = ("median", "count", "correct")
#: The title of the table of a tier.
TITLE = "# Comparison, tier"


def check_pages(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a folder of a tier where a table or a picture would be lost that is of none.

    Args:
        folder: of the tier; it need not exist.
        overwrite: replace files of any kind.

    Raises:
        InputError: for the first of them, and for a folder that cannot be written to.
    """
    table = folder / TABLE
    # A table tells whose the pictures beside it are; without one, the cells do.
    ours = _is_table(table) if table.is_file() else any((folder / CELLS).glob("*.json"))
    for name, kind in ((TABLE, "table"), (LABEL_EFFICIENCY, "picture"), (SENSITIVITY, "picture")):
        kind = f"{kind} of a comparison"
        check_output(folder / name, kind, lambda path: ours, overwrite=overwrite)


def _is_table(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(TITLE)) == TITLE.encode()


class CellFile(BaseModel):
    """The content of the file of a finished cell; see :class:`learn.compare.cell.Cell`."""

    method: str
    preset: str
    pretrain_model: int | None
    finetune_model: int
    task: str
    mode: str
    labels_per_class: Budget
    seed: int
    metrics: dict[str, Any]
    config: dict[str, Any]
    commit: str
    encoder_commit: str | None = None
    device: str | None = None  # unknown of cells of earlier versions
    precision: str | None = None
    encoder_precision: str | None = None
    seconds: float
    encoder_seconds: float | None = None  # likewise

    @property
    def commits(self) -> set[str]:
        """The commits of the code that made the cell and its encoder."""
        return {self.commit, *([self.encoder_commit] if self.encoder_commit else [])}


def read_cell(path: Path) -> CellFile:
    """Read the file of a finished cell.

    Raises:
        InputError: if it is damaged.
    """
    try:
        return CellFile.model_validate_json(path.read_bytes())
    except ValueError:
        raise _damaged(path) from None


def read_finished(cells: Sequence[Cell], folder: Path) -> dict[Cell, dict[str, Any]]:
    """The cells that have a file, with its content.

    Raises:
        InputError: for a file that is damaged, or of another configuration.
    """
    found = {}
    for cell in cells:
        path = folder / f"{cell.name}.json"
        if not path.is_file():
            continue
        content = read_cell(path).model_dump()
        if other := difference(content["config"], json.loads(json.dumps(cell.config))):
            raise InputError(
                f"{path} is a cell of another configuration: {other}; choose another --out, or "
                "delete it"
            )
        if not _is_whole(content):
            raise _damaged(path)
        found[cell] = content
    return found


def _is_whole(content: Mapping[str, Any]) -> bool:
    """Tell whether a cell holds the numbers that tables and figures show."""
    metrics = content["metrics"]
    counts = metrics.get("sensitivity") or {}
    try:
        names = task_report(content["task"]).compared_measures(metrics)
        lengths = [
            {len(list(map(float, column[name]))) for name in {*column, *_COUNTS}}
            for column in counts.values()
        ]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return False
    return has_numbers(metrics, names) and all(len(each) == 1 for each in lengths)


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; delete it to run that cell again")


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first key in which two configurations differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - _NOT_COMPARED):
            below = f"{where}.{key}" if where else key
            if found := difference(old.get(key), new.get(key), below):
                return found
        return None
    return None if old == new else f"{where} = {old}, not {new}"


def find_seeds(folder: Path) -> set[int]:
    """The seeds of all cells in a folder."""
    names = (path.stem.rpartition("_seed")[2] for path in folder.glob("*_seed*.json"))
    return {int(name) for name in names if name.isdigit()}
