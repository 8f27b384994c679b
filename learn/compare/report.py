"""The comparison as sections of a page, from the files of its cells alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import yaml

from learn.compare.cells import TASK, CellFile, read_cell
from learn.compare.config import BASELINES, CompareConfig, Protocol
from learn.compare.run import CELLS, FIGURE
from learn.compare.table import TITLES, baseline, estimate, mode_columns, number
from learn.reporting.page import Picture, Section, picture
from learn.reporting.sheet import Entry, Sheet
from lensphys.ground.config import config_folder, load_config
from lensphys.ground.errors import InputError

_HOW_TO_READ = (
    "Mean over seeds ± half of the 95% interval of that mean (Student's t), and in brackets the "
    "number of seeds. “linear” is logistic regression on frozen features, “full” trains all "
    "weights; the number is that of labels a class. “radial” is the same regression on radial "
    "features, which need no network; “untrained” probes a network with random weights, “scratch” "
    "trains the same network on these labels alone."
)
_EFFICIENCY = (
    "Accuracy against the number of labels a class, a line a method; means over seeds with their "
    "95% intervals."
)


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds the cells of a comparison."""
    return any((folder / CELLS).glob("*.json"))


def comparison_sections(folder: Path) -> list[Section]:
    """Tables, pictures and configurations of a comparison.

    Args:
        folder: of a tier.

    Raises:
        InputError: for a cell or a picture that is damaged.
    """
    paths = sorted((folder / CELLS).glob("*.json"))
    cells = {path: read_cell(path) for path in paths}
    protocols = _protocols(folder.resolve().name, list(cells.values()))
    for path, cell in cells.items():
        _check(path, cell, protocols)
    matrix = [cell for cell in cells.values() if _protocol(cell, protocols) is None]
    sections = [_first(folder, list(cells.values())), *_matrix(matrix)]
    for name, protocol in protocols.items():
        own = [cell for cell in cells.values() if _protocol(cell, protocols) is protocol]
        sections.append(_earlier_system(name, protocol, own))
    sections.append(Section("All cells", sheets=[_all_cells(cells)], folded=True))
    sections.append(_configurations(cells))
    return sections


def _check(path: Path, cell: CellFile, protocols: dict[str, Protocol]) -> None:
    """Refuse a cell that lacks a number that is to be shown."""
    names = _metrics(cell.task, [cell])
    if protocol := _protocol(cell, protocols):
        prefix, _ = baseline(protocol)
        names += [p + name for name in protocol.published for p in ("", prefix)]
    try:
        found = [number(cell.metrics, name) for name in names]
    except (KeyError, TypeError, ValueError):
        found = []
    if not found:
        raise InputError(f"{path} is damaged; delete it to run that cell again")


def _first(folder: Path, cells: list[CellFile]) -> Section:
    facts = {
        "Folder": str(folder),
        "Cells": str(len(cells)),
        "Presets": ", ".join(sorted({cell.preset for cell in cells})),
        "Seeds": ", ".join(map(str, sorted({cell.seed for cell in cells}))),
        "Hours": f"{sum(cell.seconds for cell in cells) / 3600:.2f}",
        "Code": ", ".join(sorted(set[str]().union(*(cell.commits for cell in cells)))),
    }
    pictures: list[Picture] = [
        picture(path, _EFFICIENCY if path.name == FIGURE else f"{path.stem.replace('_', ' ')}.")
        for path in sorted(folder.glob("*.png"))
    ]
    return Section("", facts=list(facts.items()), notes=[_HOW_TO_READ], pictures=pictures)


def _matrix(cells: list[CellFile]) -> list[Section]:
    """A section for the images of each preset and model, with a table a metric."""
    places = sorted({(c.preset != "published", c.preset, c.finetune_model, c.task) for c in cells})
    sections = []
    for _, preset, model, task in places:
        shown = [c for c in cells if (c.preset, c.finetune_model, c.task) == (preset, model, task)]
        sheets = [_sheet(metric, shown) for metric in _metrics(task, shown)]
        sections.append(Section(f"Preset {preset}, {task} on Model {model}", sheets=sheets))
    return sections


def _metrics(task: str, cells: Sequence[CellFile]) -> list[str]:
    """The metrics that are shown of a task."""
    if task == TASK:
        return list(TITLES)
    common = set.intersection(*(set(cell.metrics) for cell in cells))
    return [name for name in cells[0].metrics if name in common and _is_number(cells[0], name)]


def _is_number(cell: CellFile, metric: str) -> bool:
    return isinstance(cell.metrics[metric], int | float)


def _sheet(metric: str, cells: list[CellFile]) -> Sheet:
    """A row a method and what it was pretrained on, a column a mode and budget."""
    columns = mode_columns((cell.mode, cell.labels_per_class) for cell in cells)
    sources = sorted({_row(cell) for cell in cells})
    rows = []
    for source in sources:
        _, method, pretrained, _ = source
        own = [cell for cell in cells if _row(cell) == source]
        entries = [
            _mean([c for c in own if (c.mode, c.labels_per_class) == column], metric)
            for column in columns
        ]
        rows.append([Entry(method), Entry(pretrained), *entries])
    head = ("method", "pretrained on", *(f"{mode} {budget}" for mode, budget in columns))
    return Sheet(TITLES.get(metric, metric), head, rows)


def _row(cell: CellFile) -> tuple[int, str, str, int]:
    """Which row a cell belongs to; the rows in this order, baselines first."""
    names = list(BASELINES)
    place = names.index(cell.method) if cell.method in names else len(names)
    model = cell.pretrain_model
    return place, cell.method, "–" if model is None else f"Model {model}", model or 0


def _mean(cells: Sequence[CellFile], metric: str) -> Entry:
    if not cells:
        return Entry("–")
    found = estimate([number(cell.metrics, metric) for cell in cells])
    return Entry(str(found), found.mean)


def _protocols(tier: str, cells: list[CellFile]) -> dict[str, Protocol]:
    """The earlier systems' protocols that cells are of; none of a tier that is not shipped."""
    path = config_folder("compare") / f"{tier}.yaml"
    if not path.is_file():
        return {}
    known = load_config(CompareConfig, path).protocols
    return {
        name: protocol
        for name, protocol in known.items()
        if any(_protocol(cell, {name: protocol}) for cell in cells)
    }


def _protocol(cell: CellFile, protocols: dict[str, Protocol]) -> Protocol | None:
    """The protocol that a cell is of; a tier of one's own may use the name for something else."""
    found = protocols.get(cell.method)
    if found is None:
        return None
    wanted = (found.preset, found.finetune.task, found.finetune.model)
    return found if (cell.preset, cell.task, cell.finetune_model) == wanted else None


def _earlier_system(name: str, protocol: Protocol, cells: list[CellFile]) -> Section:
    """What was published, beside what was measured here."""
    prefix, trivial = baseline(protocol)
    rows = []
    for metric, published in protocol.published.items():
        entries = [_mean(cells, key) for key in (metric, prefix + metric)]
        rows.append([Entry(metric), Entry(f"{published:g}", published), *entries])
    notes = [
        f"{protocol.what} {protocol.source}",
        "Here the images are simulated by this program; how many they are, often far fewer, is in "
        "the configuration of the row below.",
    ]
    sheet = Sheet("Published and here", ("metric", "published", "here", trivial), rows)
    return Section(f"Protocol of an earlier system: {name}", notes=notes, sheets=[sheet])


def _all_cells(cells: dict[Path, CellFile]) -> Sheet:
    """A row a measurement."""
    head = ("method", "preset", "pretrained on", "tested on", "task", "mode", "labels a class")
    rows = []
    for cell in cells.values():
        metric = _metrics(cell.task, [cell])[0]
        value, budget = number(cell.metrics, metric), cell.labels_per_class
        rows.append(
            [
                Entry(cell.method),
                Entry(cell.preset),
                Entry(_row(cell)[2]),
                Entry(f"Model {cell.finetune_model}"),
                Entry(cell.task),
                Entry(cell.mode),
                Entry(str(budget), math.inf if budget == "all" else budget),
                Entry(str(cell.seed), cell.seed),
                Entry(metric),
                Entry(f"{value:.4g}", value),
                Entry(f"{cell.seconds:.1f}", cell.seconds),
            ]
        )
    return Sheet("Every measurement", (*head, "seed", "metric", "value", "seconds"), rows)


def _configurations(cells: dict[Path, CellFile]) -> Section:
    """One for each row of the tables: that of its first cell."""
    shown: dict[tuple[str, str, str, int], tuple[str, str]] = {}
    for path, cell in cells.items():
        row = (cell.method, cell.preset, _row(cell)[2], cell.finetune_model)
        text = yaml.safe_dump(cell.config, sort_keys=False)
        shown.setdefault(row, (path.stem, text))
    note = "Of the first cell of each row; the others differ in budget and seed, and in epochs."
    return Section("Configurations", notes=[note], configurations=list(shown.values()), folded=True)
