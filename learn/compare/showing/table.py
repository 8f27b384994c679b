"""The page ``table.md`` of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from learn.compare.cell import TASK, Cell
from learn.compare.cell_files import TITLE
from learn.compare.config import CompareConfig
from learn.compare.protocols import Protocol
from learn.compare.rows import Budget, explain_baselines, mode_columns
from learn.compare.showing.budgets import budget_tables, group_protocols
from learn.compare.showing.cell_tables import count_tested_of
from learn.compare.showing.detected_subhaloes import DETECTED, PUBLISHED, detected_share
from learn.compare.showing.estimate import estimate, has_numbers, read_metric
from learn.tasks import task_report
from lensphys.ground.names import markdown_text

Results = Mapping[Cell, Mapping[str, Any]]
_COMMITS = ("commit", "encoder_commit")
_NOT_MEASURED, _MISSING = "", "missing"


def format_table(
    tier: str, config: CompareConfig, cells: Sequence[Cell], results: Results, figure: str
) -> str:
    """Format the page ``table.md``.

    Args:
        tier: its name.
        config: of the tier.
        cells: all that it should have.
        results: the contents of the files of the finished ones.
        figure: file name of the picture.
    """
    hours = _hours(results)
    made_with = [result.get(key) for result in results.values() for key in _COMMITS]
    commits = ", ".join(sorted({markdown_text(commit) for commit in made_with if commit}))
    section = config.finetune
    lines = [
        f"{TITLE} {tier}",
        "",
        f"{len(results)} of {len(cells)} cells, {hours:.2f} hours; made by `python cli.py compare "
        f"--tier {tier}`, code {commits}. Hours are those of all processes "
        "together, without fits of lenses that were there already.",
        "",
        f"Pretrained on {_pretrained_on(config, cells)}, {config.pretrain.views:g} views of each; "
        f"measured on {section.images} images{_smaller(config)}, of which "
        f"{section.test_fraction:.0%} are the test, the same for all, and "
        f"{section.validation_fraction:.0%} the validation. `linear`: "
        "logistic regression on frozen features; `full`: all weights trained; the number is that "
        f"of labels a class (`all`: {section.all_labels}). Mean over seeds ± half of the 95% "
        "interval of that mean (Student's t), and in brackets the number of seeds, each with its "
        f"own {_drawn_anew(config)}. Rows without pretraining: "
        f"{explain_baselines([*config.baselines])}. Rows that see lens fits are also given their "
        "parameters, errors and chi^2.",
        "",
        f"![accuracy against labels]({figure})",
        "",
    ]
    lines += _matrix(config, cells, results)
    lines += _protocols(config, cells, results)
    return "\n".join(lines)


def _hours(results: Results) -> float:
    """The hours of all cells, and of each of their encoders once."""
    encoders = {  # rows may share one
        json.dumps(cell.pretraining.identity, sort_keys=True): result.get("encoder_seconds")
        for cell, result in results.items()
        if cell.pretraining
    }
    cells = sum(result["seconds"] for result in results.values())
    return float(cells + sum(seconds or 0 for seconds in encoders.values())) / 3600


def _pretrained_on(config: CompareConfig, cells: Sequence[Cell]) -> str:
    """The number of images of a pretraining, without those that are held out for its monitor."""
    images = config.pretrain.images
    runs = (c.pretraining.run for c in cells if c.pretraining and c.method in config.methods)
    watched = max((run.monitor.held_out(images) for run in runs if run.monitor), default=0)
    return f"{images - watched} images"


def _smaller(config: CompareConfig) -> str:
    """The data sets that have fewer images."""
    data_sets = [
        f"{section.images} of Model {model} `{preset}`"
        for section in config.finetune.smaller
        for preset in section.presets
        for model in section.models
    ]
    return f" ({', '.join(data_sets)})" if data_sets else ""


def _drawn_anew(config: CompareConfig) -> str:
    return "pretraining, split and training" if config.pretrain.anew else "split and training"


def _matrix(config: CompareConfig, cells: Sequence[Cell], results: Results) -> list[str]:
    """The tables of methods: one a preset, pretraining data set and fine-tuning data set."""
    lines = []
    matrix = [cell for cell in cells if cell.method not in config.protocols]
    pairs = dict.fromkeys(
        (cell.preset, source, cell.finetune_model)
        for cell in matrix
        for source in config.pretrain.models
    )
    for preset, source, target in pairs:
        shown = [
            cell
            for cell in matrix
            if (cell.preset, cell.finetune_model) == (preset, target)
            and cell.pretrain_model in (None, source)
        ]
        lines += [f"## Preset {preset}: Model {source} to Model {target}", ""]
        tested = count_tested_of(results[cell]["metrics"] for cell in shown if cell in results)
        lines += [line for words in tested for line in (f"{words}.", "")]
        columns = mode_columns((cell.mode, cell.labels_per_class) for cell in shown)
        rows = [name for name in config.rows if any(cell.method == name for cell in shown)]
        for metric, title in task_report(TASK).compared.items():
            measured = {
                cell: read_metric(results[cell]["metrics"], metric) if cell in results else None
                for cell in shown
            }
            lines += [*_grid(title, rows, columns, measured), ""]
        found = {c: detected_share(results[c]["metrics"]) for c in shown if c in results}
        if any(share is not None for share in found.values()):
            detected = {cell: share for cell, share in found.items() if share is not None}
            own = [name for name in rows if any(cell.method == name for cell in detected)]
            lines += [*_grid(DETECTED, own, columns, detected), "", PUBLISHED, ""]
    return lines


def _grid(
    title: str,
    rows: Sequence[str],
    columns: Sequence[tuple[str, Budget]],
    measured: Mapping[Cell, float | None],
) -> list[str]:
    """The lines of a table: a row a method, a column a mode and budget.

    Args:
        title: of the first column.
        rows: names of methods.
        columns: modes and budgets.
        measured: a number a cell; None: the cell is missing.
    """
    head = [title, *(f"{mode} {budget}" for mode, budget in columns)]
    lines = [_row(head), _row(["---", *["---:"] * len(columns)])]
    for name in rows:
        entries = [_entry(name, column, measured) for column in columns]
        lines.append(_row([markdown_text(name), *entries]))
    return lines


def _entry(name: str, column: tuple[str, Budget], measured: Mapping[Cell, float | None]) -> str:
    found = [
        value
        for cell, value in measured.items()
        if (cell.method, (cell.mode, cell.labels_per_class)) == (name, column)
    ]
    if not found:
        return _NOT_MEASURED
    values = [value for value in found if value is not None]
    return str(estimate(values)) if values else _MISSING


def _protocols(config: CompareConfig, cells: Sequence[Cell], results: Results) -> list[str]:
    """A table for each earlier system, or for several of one source."""
    lines = ["## Protocols of earlier systems", ""] if config.protocols else []
    for group in group_protocols(config.protocols):
        own = [cell for cell in cells if cell.method in group]
        found = {cell: results[cell]["metrics"] for cell in own if cell in results}
        make = _budgets if next(iter(group.values())).budgets else _one_number
        lines += [*make(group, found), ""]
    return lines


def _one_number(
    group: Mapping[str, Protocol], found: Mapping[Cell, Mapping[str, Any]]
) -> list[str]:
    """The lines on a protocol that published one number a metric."""
    ((name, protocol),) = group.items()
    measured = list(found.values())
    head = [f"`{name}`", *protocol.head(measured)]
    tested = "".join(f", {words}" for words in count_tested_of(measured))
    about = f"**{protocol.what}** {protocol.source} Here: {_sizes(protocol)}{tested}."
    lines = [about, "", _row(head), _row(["---", *["---:"] * (len(head) - 1)])]
    for metric in protocol.published:
        entries = [_measured(measured, key) for key in protocol.metrics_of(metric, measured)]
        published = f"{protocol.published_number(metric):g}"
        lines.append(_row([markdown_text(metric), published, *entries]))
    return lines


def _budgets(group: Mapping[str, Protocol], found: Mapping[Cell, Mapping[str, Any]]) -> list[str]:
    """The lines on protocols that published a number for each of several budgets."""
    first = next(iter(group.values()))
    lines = [f"{first.source} The head of a column is the number of labels a class.", ""]
    for name, protocol in group.items():
        own = (metrics for cell, metrics in found.items() if cell.method == name)
        tested = "".join(f", {words}" for words in count_tested_of(own))
        lines.append(f"- `{name}`: {protocol.what} Here: {_sizes(protocol)}{tested}.")
    measured: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for cell, metrics in found.items():
        if isinstance(cell.labels_per_class, int):
            measured.setdefault((cell.method, cell.labels_per_class), []).append(metrics)
    for table in budget_tables(group, measured, _MISSING):
        lines += ["", _row(table.head), _row(["---", *["---:"] * (len(table.head) - 1)])]
        lines += [_row([markdown_text(entry.text) for entry in row]) for row in table.rows]
    return lines


def _sizes(protocol: Protocol) -> str:
    """The numbers of images of a protocol, in words."""
    size = f"{protocol.finetune.images} images of Model {protocol.finetune.model}"
    if part := protocol.pretrain:
        of = f" of {', '.join(part.classes)}" if part.classes else ""
        size += f"; pretrained on {part.images}{of} of Model {part.model}"
    return f"{size}, preset {protocol.preset}"


def _measured(metrics: Sequence[Mapping[str, Any]], name: str) -> str:
    """The mean of a metric; a protocol may have published one that its task does not measure."""
    values = [read_metric(each, name) for each in metrics if has_numbers(each, [name])]
    return str(estimate(values)) if values else _MISSING


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"
