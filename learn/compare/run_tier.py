"""Run the cells of a tier that are missing, one by one, and make its table and figures."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from learn.compare.cell import Cell
from learn.compare.cell_files import (
    CELLS,
    LABEL_EFFICIENCY,
    SENSITIVITY,
    TABLE,
    check_pages,
    find_seeds,
    read_finished,
)
from learn.compare.code_commit import read_commit
from learn.compare.config import CompareConfig
from learn.compare.measuring.materials import Materials
from learn.compare.measuring.measure import make_content
from learn.compare.plan import plan
from learn.compare.selection import Selection
from learn.compare.showing.accuracy_by_signal import draw_accuracy_by_signal
from learn.compare.showing.label_efficiency import draw_label_efficiency
from learn.compare.showing.table import format_table
from lensphys.ground.errors import InputError
from lensphys.ground.files import write_text
from lensphys.ground.locks import call_in_turn, hold, remove_leftovers
from simulate.run import Progress


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The state of a tier after a call."""

    folder: Path
    asked: int
    begun_with: int
    missing: tuple[Cell, ...]
    seconds: float

    @property
    def line(self) -> str:
        """A sentence on the finished cells, the missing ones and the time."""
        there = self.asked - len(self.missing)
        hours, minutes = divmod(round(self.seconds / 60), 60)
        duration = f"{hours} h {minutes} min" if hours else f"{self.seconds / 60:.1f} min"
        done = f"{there} of {self.asked} cells are finished, {there - self.begun_with} of them now"
        if not self.missing:
            return f"{done}, in {duration}; none is missing"
        rows = Counter(cell.method for cell in self.missing)
        left = ", ".join(f"{name} {count}" for name, count in rows.items())
        return f"{done}, in {duration}; missing: {left}; run the same command again to go on"


def compare(
    tier: str,
    config: CompareConfig,
    out: Path,
    wanted: Selection,
    progress: Callable[[int, int], Progress] | None = None,
    say: Callable[[str], None] = lambda line: None,
    *,
    overwrite: bool = False,
) -> Outcome:
    """Run the cells of a tier that are missing, and make table and figure of all there are.

    Args:
        tier: its name, and that of its folder.
        config: of the tier.
        out: the folder of all tiers.
        wanted: the selection of cells to run.
        progress: of simulations; see :func:`simulate.run.simulate`.
        say: called with a line on what begins.
        overwrite: replace tables and pictures that are of no comparison.

    Raises:
        InputError: for bad input, or cells of another configuration.
    """
    begin = time.monotonic()
    hours = math.inf if wanted.limit_hours is None else wanted.limit_hours
    folder = out / tier
    check_pages(folder, overwrite=overwrite)
    asked, all_cells = _plans(config, wanted, folder / CELLS)
    _no_two_alike(all_cells)
    read_finished(all_cells, folder / CELLS)  # refuses others before it waits for anyone
    places = Path("data/compare") / tier, Path("runs/compare") / tier
    materials = Materials(*places, read_commit(), progress, say)
    with ExitStack() as held:
        call_in_turn(lambda: held.enter_context(hold(folder / CELLS)), say)
        remove_leftovers(folder)
        done = read_finished(all_cells, folder / CELLS)
        todo = [cell for cell in asked if cell not in done]
        begun_with = len(asked) - len(todo)
        missing = list(todo)
        try:
            for number, cell in enumerate(todo, start=begun_with + 1):
                if not time.monotonic() - begin < hours * 3600:
                    break
                say(f"cell {number} of {len(asked)}: {_describe(cell)}")
                done[cell] = _run(cell, materials, folder / CELLS)
                missing.remove(cell)
        finally:
            if done:  # what an interruption leaves is a table too
                page = format_table(tier, config, all_cells, done, LABEL_EFFICIENCY)
                write_text(folder / TABLE, page)
                draw_label_efficiency(folder / LABEL_EFFICIENCY, config, done)
                draw_accuracy_by_signal(folder / SENSITIVITY, config, done)
    return Outcome(folder, len(asked), begun_with, tuple(missing), time.monotonic() - begin)


def _run(cell: Cell, materials: Materials, folder: Path) -> dict[str, object]:
    """Measure a cell, and write its file."""
    content = make_content(cell, materials)
    write_text(folder / f"{cell.name}.json", json.dumps(content, indent=1) + "\n")
    return content


def _plans(config: CompareConfig, wanted: Selection, folder: Path) -> tuple[list[Cell], list[Cell]]:
    """The cells that are asked for, and all that the table may show."""
    wanted.check(config)
    rows, presets, seeds = wanted.rows, wanted.presets, wanted.seeds or config.seeds
    others = sorted({*seeds, *find_seeds(folder)} - {*config.seeds})
    known_presets = dict.fromkeys((*config.presets, *(presets or ())))
    full = {"presets": tuple(known_presets), "seeds": (*config.seeds, *others)}
    cells = plan(config.model_copy(update=full))
    asked = [
        cell
        for cell in cells
        if cell.method in (rows or config.rows)
        and cell.preset in (presets or _presets(config))
        and cell.seed in seeds
        and (wanted.models is None or cell.finetune_model in wanted.models)
    ]
    if not asked:
        raise InputError("no cell of this tier is of these methods, presets and models")
    return asked, cells


def _presets(config: CompareConfig) -> Sequence[str]:
    return (*config.presets, *(protocol.preset for protocol in config.protocols.values()))


def _no_two_alike(cells: list[Cell]) -> None:
    counts = Counter(cell.name for cell in cells)
    name, count = counts.most_common(1)[0]
    if count > 1:
        raise InputError(f"the tier has the cell {name} {count} times; name each value once")


def _describe(cell: Cell) -> str:
    source = f"Model {cell.pretrain_model} to " if cell.pretrain_model else ""
    return (
        f"{cell.method}, {cell.preset}, {source}Model {cell.finetune_model}, "
        f"{cell.training.task}, {cell.mode}, {cell.labels_per_class} labels a class, "
        f"seed {cell.seed}"
    )
