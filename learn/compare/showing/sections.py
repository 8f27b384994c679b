"""A comparison as sections of a page, made from the files of its cells alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from learn.compare.cell_files import CELLS, CellFile, read_cell
from learn.compare.protocols import Protocol
from learn.compare.rows import BASELINES, explain_baselines
from learn.compare.showing.budgets import budget_tables, group_protocols
from learn.compare.showing.cell_tables import (
    count_tested_of,
    make_table,
    mean_of,
    metric_of,
    row_of,
)
from learn.compare.showing.detected_subhaloes import DETECTED, PUBLISHED, detected_share
from learn.compare.showing.estimate import read_metric
from learn.compare.showing.page_pictures import comparison_pictures
from learn.reporting.html_page import Section
from learn.reporting.own_files import find_files
from learn.reporting.table import Entry, Table
from learn.reporting.task_report import TaskReport, count_tested
from learn.tasks import TASKS, task_report
from lensphys.ground.config import config_files, read_yaml, validate
from lensphys.ground.errors import InputError

_HOW_TO_READ = (
    "Mean over seeds ± half of the 95% interval of that mean (Student's t), and in brackets the "
    "number of seeds. “linear” is logistic regression on frozen features (a probe), “full” trains "
    "all weights; the number is that of labels a class."
)


def is_comparison(folder: Path) -> bool:
    """Tell whether a folder holds the cells of a comparison."""
    cells = folder / CELLS
    return not cells.is_symlink() and any(cells.glob("*.json"))


def comparison_sections(folder: Path) -> list[Section]:
    """The tables, pictures and configurations of a comparison.

    Args:
        folder: of a tier.

    Raises:
        InputError: for a cell or a picture that is damaged.
    """
    paths = find_files(folder / CELLS, ".json")
    cells = {path: read_cell(path) for path in paths}
    protocols = _protocols(folder.resolve().name, list(cells.values()))
    for path, cell in cells.items():
        _check(path, cell, protocols)
    matrix = [cell for cell in cells.values() if _protocol(cell, protocols) is None]
    sections = [_first(folder, list(cells.values()), matrix), *_matrix(matrix)]
    for group in group_protocols(protocols):
        own = [cell for cell in cells.values() if _protocol(cell, group) is not None]
        sections.append(_earlier_systems(group, own))
    sections.append(Section("All cells", tables=[_all_cells(cells)], folded=True))
    sections.append(_configurations(cells))
    return sections


def _check(path: Path, cell: CellFile, protocols: dict[str, Protocol]) -> None:
    """Refuse a cell that lacks a number that is to be shown."""
    names = list(_measures([cell]))
    if protocol := _protocol(cell, protocols):
        of_all = (protocol.metrics_of(measure, [cell.metrics]) for measure in protocol.published)
        names += [name for of_one in of_all for name in of_one]
    try:
        found = [read_metric(cell.metrics, name) for name in names]
    except (KeyError, TypeError, ValueError):
        found = []
    if not found:
        raise InputError(f"{path} is damaged; delete it to run that cell again")


def _first(folder: Path, cells: list[CellFile], matrix: list[CellFile]) -> Section:
    facts = {
        "Folder": str(folder),
        "Cells": str(len(cells)),
        "Presets": ", ".join(sorted({cell.preset for cell in cells})),
        "Seeds": ", ".join(map(str, sorted({cell.seed for cell in cells}))),
        "Hours": f"{sum(cell.seconds for cell in cells) / 3600:.2f}",
        "Code": ", ".join(sorted(set[str]().union(*(cell.commits for cell in cells)))),
    }
    methods = {cell.method for cell in cells}
    baselines = [name for name in BASELINES if name in methods]
    notes = [_HOW_TO_READ]
    if baselines:
        notes.append(f"Rows without pretraining: {explain_baselines(baselines, '“', '”')}.")
    return Section(
        "", facts=list(facts.items()), notes=notes, pictures=comparison_pictures(folder, matrix)
    )


def _matrix(cells: list[CellFile]) -> list[Section]:
    """A section for the images of each preset and model, with a table a metric."""
    places = sorted({(c.preset != "published", c.preset, c.finetune_model, c.task) for c in cells})
    sections = []
    for _, preset, model, task in places:
        shown = [c for c in cells if (c.preset, c.finetune_model, c.task) == (preset, model, task)]
        tables = [
            make_table(title, shown, functools.partial(metric_of, name))
            for name, title in _measures(shown).items()
        ]
        title, notes = f"Preset {preset}, {task} on Model {model}", []
        detected = [cell for cell in shown if detected_share(cell.metrics) is not None]
        if detected:
            share = make_table(DETECTED, detected, lambda cell: detected_share(cell.metrics))
            tables.append(share)
            notes.append(PUBLISHED.replace("`", ""))
        sections.append(Section(title, notes=notes, tables=tables))
    return sections


def _measures(cells: Sequence[CellFile]) -> dict[str, str]:
    """The measures that are shown of cells of one task, and the titles of their tables."""
    task = cells[0].task
    report = task_report(task) if task in TASKS else TaskReport()
    first, *others = (report.compared_measures(cell.metrics) for cell in cells)
    return {name: title for name, title in first.items() if all(name in each for each in others)}


def _protocols(tier: str, cells: list[CellFile]) -> dict[str, Protocol]:
    """The protocols that cells are of; none for a tier that is not shipped."""
    path = config_files("compare").get(tier)
    if path is None:
        return {}
    # The rest of the tier's configuration would take seconds to import.
    known = read_yaml(path)["protocols"]
    protocols = {
        name: validate(Protocol, values, f"{path}: protocols.{name}")
        for name, values in known.items()
    }
    return {
        name: protocol
        for name, protocol in protocols.items()
        if any(_protocol(cell, {name: protocol}) for cell in cells)
    }


def _protocol(cell: CellFile, protocols: dict[str, Protocol]) -> Protocol | None:
    """The protocol that a cell is of; a tier of one's own may use the name for something else."""
    found = protocols.get(cell.method)
    if found is None:
        return None
    wanted = (found.preset, found.finetune.task, found.finetune.model)
    return found if (cell.preset, cell.task, cell.finetune_model) == wanted else None


def _earlier_systems(protocols: dict[str, Protocol], cells: list[CellFile]) -> Section:
    """The published numbers beside those that were measured here, of protocols with one table."""
    notes = [f"{protocol.what} {protocol.source}" for protocol in protocols.values()]
    notes.append(
        "Here the images are simulated by this program; how many they are, often far fewer, is in "
        "the configuration of the row below."
    )
    first = next(iter(protocols.values()))
    tables = _budgets(protocols, cells) if first.budgets else [_one_number(first, cells)]
    title = f"Protocol of an earlier system: {', '.join(protocols)}"
    return Section(title, notes=notes, tables=tables)


def _one_number(protocol: Protocol, cells: list[CellFile]) -> Table:
    rows, measured = [], [cell.metrics for cell in cells]
    for metric in protocol.published:
        published = protocol.published_number(metric)
        names = protocol.metrics_of(metric, measured)
        entries = [mean_of(metric_of(key, cell) for cell in cells) for key in names]
        rows.append([Entry(metric), Entry(f"{published:g}", published), *entries])
    caption = ", ".join(["Published and here", *count_tested_of(measured)])
    return Table(caption, ("metric", *protocol.head(measured)), rows)


def _budgets(protocols: dict[str, Protocol], cells: list[CellFile]) -> list[Table]:
    measured: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in cells:
        if isinstance(cell.labels_per_class, int):
            measured.setdefault((cell.method, cell.labels_per_class), []).append(cell.metrics)
    return budget_tables(protocols, measured, "–")


def _all_cells(cells: dict[Path, CellFile]) -> Table:
    """A row a measurement."""
    head: tuple[str, ...] = ("method", "preset", "pretrained on", "tested on", "task", "mode")
    rows = []
    for cell in cells.values():
        metric = next(iter(_measures([cell])))
        value, budget = read_metric(cell.metrics, metric), cell.labels_per_class
        tested = count_tested(cell.metrics)
        rows.append(
            [
                Entry(cell.method),
                Entry(cell.preset),
                Entry(row_of(cell)[2]),
                Entry(f"Model {cell.finetune_model}"),
                Entry(cell.task),
                Entry(cell.mode),
                Entry(str(budget), math.inf if budget == "all" else budget),
                Entry(str(cell.seed), cell.seed),
                Entry(metric),
                Entry(f"{value:.4g}", value),
                Entry("–") if tested is None else Entry(f"{tested:,}", tested),
                Entry(f"{cell.seconds:.1f}", cell.seconds),
            ]
        )
    head = (*head, "labels a class", "seed", "metric", "value", "test images", "seconds")
    return Table("Every measurement", head, rows)


def _configurations(cells: dict[Path, CellFile]) -> Section:
    """The configuration of the first cell of each row; rows with the same one share it."""
    first: dict[tuple[str, str, str, int], Path] = {}
    for path, cell in cells.items():
        first.setdefault((cell.method, cell.preset, row_of(cell)[2], cell.finetune_model), path)
    named: dict[str, list[str]] = {}
    for path in first.values():
        text = yaml.safe_dump(cells[path].config, sort_keys=False)
        named.setdefault(text, []).append(path.stem)
    shown = [(", ".join(names), text) for text, names in named.items()]
    note = "Of the first cell of each row; the others differ in budget and seed, and in epochs."
    return Section("Configurations", notes=[note], configurations=shown, folded=True)
