"""Metrics as a table on the terminal, each beside its baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from learn.networks.encoder import DESCRIPTION
from learn.reporting.sheet import Entry, Sheet
from learn.runs import METRICS
from learn.training.monitor import MEASURES
from lensphys.ground.errors import InputError


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a finished fine-tuning run.

    Raises:
        InputError: where the file is damaged.
    """
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except ValueError:
        metrics = None
    if not isinstance(metrics, dict):
        raise InputError(
            f"{folder / METRICS} is damaged; delete it and run the finetune command again"
        )
    return metrics


def print_monitor(folder: Path) -> None:
    """Print what an encoder knows at the end of its pretraining, and whether it has collapsed."""
    watched = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["monitor"]
    if watched is None:
        return
    console = Console(stderr=True)
    values = ", ".join(
        f"{name.replace('_', ' ')} {watched[name]:.3f}" for name in MEASURES if name in watched
    )
    console.print(f"held-out images: {values}", soft_wrap=True, highlight=False)
    for sign in watched["signs_of_collapse"]:
        console.print(f"[bold red]collapsed[/]: {sign}", soft_wrap=True, highlight=False)


def print_metrics(folder: Path) -> None:
    """Print the metrics of one run beside its baseline, and where its pictures lie."""
    print_result(f"Test images of {folder}", read_metrics(folder))
    print_pictures(folder)


def print_pictures(folder: Path) -> None:
    """Print where the pictures in a folder lie."""
    for picture in sorted(folder.glob("*.png")):
        Console().print(f"picture: {picture}", soft_wrap=True)


def print_result(title: str, metrics: dict[str, Any]) -> None:
    """Print the metrics of one run, of whatever task, beside its baseline."""
    if "mae" not in metrics and "completeness" not in metrics:
        print_table(title, {"this run": metrics}, _kind(metrics))
        return
    _print_sheet(result_sheet(title, metrics))
    for note in result_notes(metrics):
        Console().print(note, soft_wrap=True)


def result_sheet(title: str, metrics: dict[str, Any]) -> Sheet:
    """The metrics of one run, of whatever task: a row a measure, beside its baselines."""
    if "mae" in metrics:
        return _columns_sheet(title, metrics)
    if "completeness" in metrics:
        return _finding_sheet(title, metrics)
    flat, kind = _flat(metrics), _kind(metrics)
    rows = [
        [Entry(_spoken(name)), _entry(name, value), _entry(name, flat.get(f"{kind}_{name}"))]
        for name, value in flat.items()
        if not name.startswith(f"{kind}_")
    ]
    return Sheet(title, ("measure", "this run", _BASELINES[kind]), rows)


def result_notes(metrics: dict[str, Any]) -> list[str]:
    """What a finder takes for lenses, and how far its rates can be trusted; else nothing."""
    if "completeness" not in metrics:
        return []
    notes, others = [], metrics["non_lenses"]
    passed = metrics["false_positive_rate"]
    if passed:
        rates = ", ".join(f"{name} {rate:.3f}" for name, rate in passed.items())
        notes.append(f"called a lens, of each look-alike: {rates}")
    few = [f"{rate:g}" for rate in (1e-2, 1e-3) if others * rate < 1]
    if few:
        notes.append(
            f"{others} non-lenses are too few for a false-positive rate of {' or '.join(few)}: "
            "that value is at no false positive"
        )
    return notes


def headline(metrics: dict[str, Any]) -> dict[str, Entry]:
    """The measures by which runs of a task compare, by name, each followed by its baseline."""
    flat, kind = _flat(metrics), _kind(metrics)
    beside = [name for name in flat if f"{kind}_{name}" in flat and name != "threshold"]
    # Of a class or a column only where there is no measure of all.
    shown = [name for name in beside if "." not in name] or beside
    entries = {}
    for name in shown:
        entries[_spoken(name)] = _entry(name, flat[name])
        entries[f"{kind} {_spoken(name)}"] = _entry(name, flat[f"{kind}_{name}"])
    return entries


def _columns_sheet(title: str, metrics: dict[str, Any]) -> Sheet:
    """A row for each column that was regressed, its error beside those of the baselines."""
    rows = [
        [Entry(column), *(_entry("mae", metrics[key].get(column)) for key in _OF_COLUMNS)]
        for column in metrics["mae"]
    ]
    return Sheet(title, ("MAE, and coverage", *_OF_COLUMNS.values()), rows)


def _finding_sheet(title: str, metrics: dict[str, Any]) -> Sheet:
    """A row a measure of a finder."""
    rows = [
        [Entry(name), *(_entry(key, metrics[prefix + key]) for prefix in ("", "radial_"))]
        for key, name in _OF_FINDING.items()
    ]
    return Sheet(title, ("", "this run", _BASELINES["radial"]), rows)


def _print_sheet(sheet: Sheet) -> None:
    table = Table(title=sheet.caption, title_justify="left")
    for number, name in enumerate(sheet.head):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for row in sheet.rows:
        table.add_row(*(entry.text for entry in row))
    Console().print(table)


def print_table(title: str, runs: dict[str, dict[str, Any]], baseline: str) -> None:
    """A row a run, and last the baseline that the runs carry under its prefix."""
    rows = {name: _flat(metrics) for name, metrics in runs.items()}
    first = next(iter(rows.values()))
    prefix = f"{baseline}_"
    # The PSNR of every class would make it wider than a terminal; reports have it.
    columns = [name for name in first if prefix + name in first and "class_psnr" not in name]
    rows[_BASELINES[baseline]] = {name: first[prefix + name] for name in columns}
    table = Table(title=title, title_justify="left", show_edge=False)
    table.add_column("")
    for name in columns:
        title = _spoken(name)
        table.add_column(title, justify="right", min_width=max(map(len, title.split())))
    for name, row in rows.items():
        table.add_row(name, *(_entry(column, row[column]).text for column in columns))
    Console().print(table)


def print_audit(result: dict[str, Any]) -> None:
    """Print what the checks of a data set found, and whether it passed them."""
    count = f"{result['images']} images, {result['labels_per_class']} labels a class"
    table = Table(title=f"Honesty: {count}", title_justify="left")
    for name in ("check", "found", "95%", "allowed", ""):
        table.add_column(name)
    limit = result["radial_auc_max"]
    for name, auc in result["radial_auc"].items():
        interval = _between(result["radial_auc_95"][name])
        verdict = _VERDICTS[auc <= limit]
        what = f"no shortcut: radial AUC, {name}"
        table.add_row(what, f"{auc:.3f}", interval, f"at most {limit:g}", verdict)
    if result["radial_auc_non_lens"] is not None:
        interval = _between(result["radial_auc_non_lens_95"])
        what = "for finders: radial AUC, non_lens"
        table.add_row(what, f"{result['radial_auc_non_lens']:.3f}", interval, "–", "–")
    if result["twin_accuracy"] is not None:
        interval, allowed = (_between(result[f"twin_accuracy_{key}"]) for key in ("95", "allowed"))
        verdict = _VERDICTS[result["passed"]["twin"]]
        accuracy = f"{result['twin_accuracy']:.3f}"
        table.add_row("signal: accuracy on twin residuals", accuracy, interval, allowed, verdict)
    Console().print(table)


def _between(limits: Sequence[float]) -> str:
    return f"{limits[0]:.3g} to {limits[1]:.3g}"


_VERDICTS = {True: "passed", False: "[bold red]failed[/]"}
_OF_COLUMNS = {
    "mae": "this run",
    "radial_mae": "radial",
    "mean_mae": "mean",
    "r2": "R2",
    "coverage68": "68%",
    "coverage95": "95%",
}
_OF_FINDING = {
    "auc": "AUC",
    "tpr_at_fpr_1e-2": "lenses found at 1 in 100 false positives",
    "tpr_at_fpr_1e-3": "lenses found at 1 in 1000",
    "accuracy": "accuracy at the threshold",
    "completeness": "completeness",
    "purity": "purity",
}
_BASELINES = {"radial": "radial features", "bicubic": "bicubic"}
_DIGITS = {"mae": "{:.3g}"}
_DIGITS |= {f"{kind}mse": "{:.2e}" for kind in ("", "clean_")}
_DIGITS |= {
    f"{kind}{name}": "{:.2f} dB" for kind in ("", "clean_") for name in ("psnr", "class_psnr")
}


def _kind(metrics: dict[str, Any]) -> str:
    """Which baseline a run carries."""
    return "bicubic" if "bicubic_psnr" in metrics else "radial"


def _spoken(name: str) -> str:
    """A measure by its name, that of one class or column as ``AUC no_sub``."""
    measure, _, whose = name.replace("class_", "").partition(".")
    for short in ("auc", "f1", "ece"):
        measure = measure.replace(short, short.upper())
    return f"{measure.replace('_', ' ')} {whose}".rstrip()


def _entry(name: str, value: float | None) -> Entry:
    """A measure, with the digits that it deserves."""
    if value is None:
        return Entry("–")
    return Entry(_DIGITS.get(name.partition(".")[0], "{:.3f}").format(value), value)


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers by name; those of one class as ``auc.cdm``, ``radial_auc.cdm``."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": number for key, number in value.items()}
        elif isinstance(value, float):
            flat[name] = value
    return flat
