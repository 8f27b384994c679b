"""Results on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.table
from rich.text import Text

from learn.reporting.run_folder import monitor_measures, reading
from learn.reporting.table import Table
from learn.reporting.task_report import Metrics, TaskReport, count_tested, describe_tested
from learn.run_files import DESCRIPTION, METRICS, read_metrics
from lensphys.ground.console import PlainConsole
from lensphys.ground.files import read_json
from lensphys.ground.names import plain_text, shorten

_ALARM = "bold red"
_VERDICTS = {True: Text("passed"), False: Text("failed", _ALARM)}
#: Characters of the head of a column, where a longer name would leave no room for numbers.
_LONGEST = 40


def print_monitor(folder: Path) -> None:
    """Print the last measures of an encoder in training, and the signs of a collapse.

    Raises:
        InputError: for a damaged description of the encoder.
    """
    with reading(folder / DESCRIPTION):
        watched = read_json(folder / DESCRIPTION)["monitor"]
        if watched is None:
            return
        measures = {name: float(value) for name, value in monitor_measures(watched).items()}
        signs = [str(sign) for sign in watched["signs_of_collapse"]]
    console = PlainConsole(stderr=True)
    values = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in measures.items())
    console.print(f"held-out images: {values}", soft_wrap=True, highlight=False)
    for sign in signs:
        words = Text.assemble(("collapsed", _ALARM), f": {plain_text(sign)}")
        console.print(words, soft_wrap=True, highlight=False)


def print_run(folder: Path, report: TaskReport) -> None:
    """Print the metrics of one run beside its baseline, and where its pictures lie."""
    with reading(folder / METRICS):
        metrics = read_metrics(folder)
        print_result(f"{describe_tested(metrics)} of {folder}", metrics, report)
    print_pictures(folder)


def print_pictures(folder: Path) -> None:
    """Print where the pictures in a folder lie."""
    for picture in sorted(folder.glob("*.png")):
        PlainConsole().print(f"picture: {picture}", soft_wrap=True)


def print_result(title: str, metrics: Metrics, report: TaskReport) -> None:
    """Print the metrics of one run beside its baseline, as its task shows them."""
    _print_table(report.terminal_table(title, metrics))
    for note in report.notes(metrics):
        PlainConsole().print(note, soft_wrap=True)


def print_runs(title: str, runs: Mapping[str, Metrics], report: TaskReport) -> None:
    """Print the metrics of several runs of a task, and last their baseline."""
    counts = {count_tested(metrics) for metrics in runs.values()}
    if len(counts) == 1 and None not in counts:  # the same for all, or in no title
        title = f"{title}, {describe_tested(next(iter(runs.values())))}"
    _print_table(report.runs_table(title, runs))


def _print_table(table: Table) -> None:
    printed = rich.table.Table(title=table.caption, title_justify="left", show_edge=False)
    for number, head in enumerate(table.head):
        name = shorten(head, _LONGEST)
        # Neither the name of a row nor a word of a head is broken.
        width = max(map(len, name.split()), default=0)
        first = number == 0
        printed.add_column(
            name, justify="left" if first else "right", min_width=width, no_wrap=first
        )
    for row in table.rows:
        printed.add_row(*(entry.text for entry in row))
    PlainConsole().print(printed)


def print_audit(result: dict[str, Any]) -> None:
    """Print the findings of an audit, the limits, and the verdicts."""
    count = f"{result['images']} images, {result['labels_per_class']} labels a class"
    table = rich.table.Table(title=f"Honesty: {count}", title_justify="left")
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
    PlainConsole().print(table)


def _between(limits: Sequence[float]) -> str:
    return f"{limits[0]:.3g} to {limits[1]:.3g}"
