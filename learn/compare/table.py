"""The comparison as a page of tables, and the statistics in them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from learn.compare.cells import TASK, Cell
from learn.compare.config import Budget, CompareConfig, Protocol

Results = Mapping[Cell, Mapping[str, Any]]
TITLES = {"accuracy": "Accuracy", "macro_auc": "Area under the ROC curve, mean over classes"}
_BASELINES = {"radial": "radial features", "bicubic": "bicubic"}
_COMMITS = ("commit", "encoder_commit")
_NOT_MEASURED, _MISSING = "", "missing"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        interval: half the width of the 95% interval of the mean; None for one value.
        count: of values.
    """

    mean: float
    interval: float | None
    count: int

    def __str__(self) -> str:
        """Mean, interval and number of seeds."""
        digits = 4 if self.mean < 0.1 else 3 if self.mean < 10 else 2
        mean = f"{self.mean:.{digits}f}"
        interval = "" if self.interval is None else f" ± {self.interval:.{digits}f}"
        return f"{mean}{interval} ({self.count})"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95% interval of measurements, by Student's t distribution."""
    count = len(values)
    if count < 2:
        return Estimate(float(np.mean(values)), None, count)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(float(np.mean(values)), float(student.ppf(0.975, count - 1)) * error, count)


def number(metrics: Mapping[str, Any], name: str) -> float:
    """A metric by its name; that of one class as ``auc.cdm``."""
    value: Any = metrics
    for part in name.split("."):
        value = value[part]
    return float(value)


def table(
    tier: str, config: CompareConfig, cells: Sequence[Cell], results: Results, figure: str
) -> str:
    """The page ``table.md``.

    Args:
        tier: its name.
        config: of the tier.
        cells: all that it should have.
        results: what the files of the finished ones hold.
        figure: file name of the picture.
    """
    hours = _hours(results)
    made_with = [result.get(key) for result in results.values() for key in _COMMITS]
    commits = {commit for commit in made_with if commit}
    section = config.finetune
    lines = [
        f"# Comparison, tier {tier}",
        "",
        f"{len(results)} of {len(cells)} cells, {hours:.2f} hours; made by `python cli.py compare "
        f"--tier {tier}`, code {', '.join(sorted(commits))}. Hours are those of all processes "
        "together, without fits of lenses that were there already.",
        "",
        f"Pretrained on {_pretrained_on(config, cells)}, {config.pretrain.views:g} views of each; "
        f"measured on {section.images} images, of which {section.test_fraction:.0%} are the test, "
        f"the same for all, and {section.validation_fraction:.0%} the validation. `linear`: "
        "logistic regression on frozen features; `full`: all weights trained; the number is that "
        f"of labels a class (`all`: {section.all_labels}). Mean over seeds ± half of the 95% "
        "interval of that mean (Student's t), and in brackets the number of seeds, each with its "
        f"own {_drawn_anew(config)}. `untrained` is a probe of a network with random weights, "
        "`scratch` the same network trained on these labels alone; with `:lens-fit` both see "
        "what `physics-ijepa` sees. A network that sees lens fits is also given parameters, errors and "
        "chi^2 of the fit; `lens-fit` is a probe of these alone.",
        "",
        f"![accuracy against labels]({figure})",
        "",
    ]
    lines += _matrix(config, cells, results)
    lines += _protocols(config, cells, results)
    return "\n".join(lines)


def _hours(results: Results) -> float:
    """Of all cells, and of each of their encoders once."""
    encoders = {  # rows may share one
        json.dumps(cell.pretraining.identity, sort_keys=True): result.get("encoder_seconds")
        for cell, result in results.items()
        if cell.pretraining
    }
    cells = sum(result["seconds"] for result in results.values())
    return float(cells + sum(seconds or 0 for seconds in encoders.values())) / 3600


def _pretrained_on(config: CompareConfig, cells: Sequence[Cell]) -> str:
    """The images of a pretraining, less those that are watched in place of trained on."""
    images = config.pretrain.images
    runs = (c.pretraining.run for c in cells if c.pretraining and c.method in config.methods)
    watched = max((run.monitor.held_out(images) for run in runs if run.monitor), default=0)
    return f"{images - watched} images"


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
        columns = mode_columns((cell.mode, cell.labels_per_class) for cell in shown)
        rows = [name for name in config.rows if any(cell.method == name for cell in shown)]
        for metric, title in TITLES.items():
            head = [title, *(f"{mode} {budget}" for mode, budget in columns)]
            lines += [_row(head), _row(["---", *["---:"] * len(columns)])]
            for name in rows:
                of_row = [cell for cell in shown if cell.method == name]
                entries = [_entry(of_row, results, metric, *column) for column in columns]
                lines.append(_row([name, *entries]))
            lines.append("")
    return lines


def mode_columns(found: Iterable[tuple[str, Budget]]) -> list[tuple[str, Budget]]:
    """Each mode and budget once, in the order of the columns: probes first, budgets growing."""

    def order(column: tuple[str, Budget]) -> tuple[bool, float]:
        mode, budget = column
        return mode == "full", math.inf if budget == "all" else budget

    return sorted(set(found), key=order)


def _entry(cells: Sequence[Cell], results: Results, metric: str, mode: str, budget: Budget) -> str:
    cells = [cell for cell in cells if (cell.mode, cell.labels_per_class) == (mode, budget)]
    if not cells:
        return _NOT_MEASURED
    values = [number(results[cell]["metrics"], metric) for cell in cells if cell in results]
    return str(estimate(values)) if values else _MISSING


def _protocols(config: CompareConfig, cells: Sequence[Cell], results: Results) -> list[str]:
    """A table for each earlier system, beside the numbers that it published."""
    lines = ["## Protocols of earlier systems", ""] if config.protocols else []
    for name, protocol in config.protocols.items():
        own = [cell for cell in cells if cell.method == name]
        measured = [results[cell]["metrics"] for cell in own if cell in results]
        size = f"{protocol.finetune.images} images of Model {protocol.finetune.model}"
        if protocol.pretrain:
            of = f" of {', '.join(protocol.pretrain.classes)}" if protocol.pretrain.classes else ""
            size += (
                f"; pretrained on {protocol.pretrain.images}{of} of Model {protocol.pretrain.model}"
            )
        prefix, trivial = baseline(protocol)
        head = [f"`{name}`", "published", "here", trivial]
        lines += [f"**{protocol.what}** {protocol.source} Here: {size}, preset {protocol.preset}."]
        lines += ["", _row(head), _row(["---", "---:", "---:", "---:"])]
        for metric, published in protocol.published.items():
            entries = [
                str(estimate([number(m, key) for m in measured])) if measured else _MISSING
                for key in (metric, prefix + metric)
            ]
            lines.append(_row([metric, f"{published:g}", *entries]))
        lines.append("")
    return lines


def baseline(protocol: Protocol) -> tuple[str, str]:
    """The prefix of the metrics of a task's trivial baseline, and its name."""
    name = "radial" if protocol.finetune.task == TASK else "bicubic"
    return f"{name}_", _BASELINES[name]


def _row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"
