"""Metrics as a table on the terminal, each beside its baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from learn.backbone import DESCRIPTION
from learn.monitor import MEASURES
from learn.runs import METRICS


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics of a finished fine-tuning run."""
    return json.loads((folder / METRICS).read_text())  # type: ignore[no-any-return]


def print_monitor(folder: Path) -> None:
    """Print what an encoder knows at the end of its pretraining, and whether it has collapsed."""
    watched = json.loads((folder / DESCRIPTION).read_text())["monitor"]
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
    if "mae" in metrics:
        _print_columns(title, metrics)
        return
    if "completeness" in metrics:
        _print_finding(title, metrics)
        return
    kind = "radial" if "radial_accuracy" in metrics else "bicubic"
    print_table(title, {"this run": metrics}, kind)


def _print_columns(title: str, metrics: dict[str, Any]) -> None:
    """A row for each column that was regressed, its error beside those of the baselines."""
    table = Table(title=title, title_justify="left")
    table.add_column("MAE, and coverage", no_wrap=True)
    for name in _OF_COLUMNS.values():
        table.add_column(name, justify="right")
    for column in metrics["mae"]:
        values = (metrics[key].get(column) for key in _OF_COLUMNS)
        table.add_row(column, *("-" if value is None else f"{value:.3g}" for value in values))
    Console().print(table)


def _print_finding(title: str, metrics: dict[str, Any]) -> None:
    """A row a measure, what a finder takes for lenses, and how far its rates can be trusted."""
    console, others = Console(), metrics["non_lenses"]
    table = Table(title=title, title_justify="left")
    for name in ("", "this run", "radial features"):
        table.add_column(name, justify="right" if name else "left")
    for key, name in _OF_FINDING.items():
        table.add_row(name, *(f"{metrics[prefix + key]:.3f}" for prefix in ("", "radial_")))
    console.print(table)
    passed = metrics["false_positive_rate"]
    if passed:
        rates = ", ".join(f"{name} {rate:.3f}" for name, rate in passed.items())
        console.print(f"called a lens, of each look-alike: {rates}", soft_wrap=True)
    few = [f"{rate:g}" for rate in (1e-2, 1e-3) if others * rate < 1]
    if few:
        console.print(
            f"{others} non-lenses are too few for a false-positive rate of {' or '.join(few)}: "
            "that value is at no false positive",
            soft_wrap=True,
        )


def print_table(title: str, runs: dict[str, dict[str, Any]], baseline: str) -> None:
    """A row a run, and last the baseline that the runs carry under its prefix."""
    rows = {name: _flat(metrics) for name, metrics in runs.items()}
    first = next(iter(rows.values()))
    prefix = f"{baseline}_"
    columns = [name for name in first if prefix + name in first]
    rows[_BASELINES[baseline]] = {name: first[prefix + name] for name in columns}
    table = Table(title=title, title_justify="left", show_edge=False)
    table.add_column("")
    for name in columns:
        title = name.replace("auc.", "AUC ").replace("ece", "ECE").replace("_", " ")
        table.add_column(title, justify="right", min_width=max(map(len, title.split())))
    for name, row in rows.items():
        table.add_row(
            name, *(_DIGITS.get(column, "{:.3f}").format(row[column]) for column in columns)
        )
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
_DIGITS = {f"{kind}mse": "{:.2e}" for kind in ("", "clean_")} | {
    f"{kind}psnr": "{:.2f} dB" for kind in ("", "clean_")
}


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers by name; those of one class as ``auc.cdm``, ``radial_auc.cdm``."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": number for key, number in value.items()}
        elif isinstance(value, float):
            flat[name] = value
    return flat
