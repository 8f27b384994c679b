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
    metrics = read_metrics(folder)
    kind = "radial" if "accuracy" in metrics else "bicubic"
    print_table(f"Test images of {folder}", {"this run": metrics}, kind)
    for picture in sorted(folder.glob("*.png")):
        Console().print(f"picture: {picture}", soft_wrap=True)


def print_table(title: str, runs: dict[str, dict[str, Any]], baseline: str) -> None:
    """A row a run, and last the baseline that the runs carry under its prefix."""
    rows = {name: _flat(metrics) for name, metrics in runs.items()}
    first = next(iter(rows.values()))
    prefix = f"{baseline}_"
    columns = [name for name in first if prefix + name in first]
    rows[_BASELINES[baseline]] = {name: first[prefix + name] for name in columns}
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name.replace("auc.", "AUC ").replace("_", " "), justify="right")
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
_BASELINES = {"radial": "radial-feature regression", "bicubic": "bicubic"}
_DIGITS = {"mse": "{:.2e}", "psnr": "{:.2f} dB"}


def _flat(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers by name; those of one class as ``auc.cdm``, ``radial_auc.cdm``."""
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": number for key, number in value.items()}
        elif isinstance(value, float):
            flat[name] = value
    return flat
