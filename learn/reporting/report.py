"""A run, a comparison, or a folder of them as one page that can be sent around."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learn.compare.report import comparison_sections, is_comparison
from learn.networks.encoder import DESCRIPTION
from learn.reporting.page import Picture, Section, page, picture
from learn.reporting.sheet import Entry, Sheet
from learn.reporting.summary import headline, read_metrics, result_notes, result_sheet
from learn.runs import CONFIG, METRICS
from learn.training.loop import read_curves
from learn.training.monitor import MEASURES
from lensphys.ground.config import read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing

REPORT = "report.html"

_CAPTIONS = {
    "loss": "Loss against the epoch.",
    "roc": "ROC curves on the test images: the network, radial features, and chance.",
    "confusion": (
        "Confusion matrix in counts: a row a true class, a column a predicted one; the colour is "
        "the fraction of the true class."
    ),
    "regression": "Predicted against true values, with error bars of 1 sigma.",
    "calibration": (
        "How many errors the predicted intervals hold, against how many they should: a curve below "
        "the diagonal is too sure of itself."
    ),
    "look_alikes": "Look-alikes that are called lenses, by kind, with 68% intervals.",
    "triptych": (
        "Test images at low resolution, enlarged by bicubic interpolation, super-resolved, and the "
        "truth."
    ),
}


def report(folder: Path, out: Path | None = None) -> Path:
    """Write a page on what is in a folder.

    Args:
        folder: of a run, of a comparison, or above several of either.
        out: the file; default ``report.html`` in the folder.

    Returns:
        The file.

    Raises:
        InputError: where there is nothing to report, something is damaged, or the file cannot be
            written.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    content = _page(folder)
    path = out or folder / REPORT
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file with --out")
    try:
        with replacing(path) as temporary:
            # Paths may hold bytes that are no text.
            temporary.write_bytes(content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; choose another place with --out"
        ) from None
    return path


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        folder: of the run.
        config: its configuration; empty where another data set was evaluated.
        metrics: of a fine-tuning run; None for another, or one that is not finished.
        about: what describes its encoder; None where there is none.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any] | None
    about: dict[str, Any] | None

    @property
    def kind(self) -> str:
        """Of what the run is."""
        if "task" in self.config:
            return f"fine-tuning for {self.config['task']}"
        if "method" in self.config:
            return f"pretraining by {self.config['method']}"
        return "evaluation"

    @property
    def finished(self) -> bool:
        """Whether the run has left what it is for."""
        return (self.about if "method" in self.config else self.metrics) is not None


def _page(folder: Path) -> str:
    if is_comparison(folder):
        sections = comparison_sections(folder)
        name = folder.resolve().name
        return page(f"Comparison: {name}", "Pretraining methods beside their baselines.", sections)
    run = _run(folder)
    if run:
        title = f"{run.kind[0].upper()}{run.kind[1:]}"
        if data := run.config.get("data"):
            title += f" on {data}"
        section = dataclasses.replace(_run_section(run), title="")
        return page(title, f"What the run in {folder} has left.", [section])
    return _page_of_several(folder)


def _page_of_several(folder: Path) -> str:
    runs, comparisons = [], []
    for below in _within(folder):
        if is_comparison(below):
            comparisons.append(below)
        elif run := _run(below):
            runs.append(run)
    if not runs and not comparisons:
        raise InputError(
            f"{folder} holds no run and no comparison to report; make one with `python cli.py "
            "finetune`, `pretrain` or `compare`"
        )
    named = {f"run-{number}": run for number, run in enumerate(runs, 1)}
    sections = [Section("", sheets=_overview(named, folder))] if runs else []
    for number, below in enumerate(comparisons):
        prefix = f"Comparison {below.relative_to(folder)}"
        for section in comparison_sections(below):
            title = f"{prefix}: {section.title}" if section.title else prefix
            # The first opens with its picture; what follows is for whoever asks.
            folded = section.folded or number > 0
            sections.append(dataclasses.replace(section, title=title, folded=folded))
    for anchor, run in named.items():
        title = f"{run.folder.relative_to(folder)}: {run.kind}"
        section = _run_section(run)
        sections.append(dataclasses.replace(section, title=title, folded=True, anchor=anchor))
    counts = [(len(runs), "run"), (len(comparisons), "comparison")]
    lead = " and ".join(f"{n} {what}{'s' * (n > 1)}" for n, what in counts if n)
    return page(f"Results in {folder}", f"{lead}.", sections)


def _within(folder: Path) -> Iterator[Path]:
    """The runs and comparisons below a folder, by name; not what they hold themselves."""
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        if below.name.startswith(".") or below.is_symlink():
            continue
        if is_comparison(below) or _is_run(below):
            yield below
        else:
            yield from _within(below)


def _is_run(folder: Path) -> bool:
    if (folder / METRICS).is_file():
        return True
    path = folder / CONFIG
    return path.is_file() and not {"task", "method"}.isdisjoint(read_yaml(path))


def _run(folder: Path) -> Run | None:
    """The run in a folder, None where there is none."""
    if not _is_run(folder):
        return None
    config = read_yaml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    metrics = read_metrics(folder) if (folder / METRICS).is_file() else None
    about = None
    path = folder / DESCRIPTION
    if path.is_file():
        with _read_from(path):
            about = dict(json.loads(path.read_text(encoding="utf-8")))
    return Run(folder, config, metrics, about)


@contextmanager
def _read_from(path: Path) -> Iterator[None]:
    """What is read is not what it should be: then the file is damaged."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _damaged(path) from None


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; delete it and run the command of that run again")


def _run_section(run: Run) -> Section:
    """All that a run has left, under its own name."""
    sheets, notes, warnings = [], [], []
    if not run.finished:
        warnings.append("This run is not finished: its command, run again, goes on with it.")
    if run.metrics is not None:
        with _read_from(run.folder / METRICS):
            sheets.append(result_sheet("Test images", run.metrics))
            if not sheets[0].rows:
                raise ValueError("no measure")
            notes += result_notes(run.metrics)
    elif "method" in run.config:
        watched = _watched(run)
        warnings += [f"Collapsed: {sign}." for sign in watched.get("signs_of_collapse", ())]
        rows = [[Entry(name), entry] for name, entry in _entries(watched).items()]
        if rows:
            sheets.append(Sheet("Held-out images", ("measure", "this run"), rows))
    if losses := _last_losses(run.folder):
        sheets.append(losses)
    configurations = []
    if (run.folder / CONFIG).is_file():
        configurations.append(("Configuration", (run.folder / CONFIG).read_text(encoding="utf-8")))
    return Section(
        run.kind,
        facts=_facts(run),
        warnings=warnings,
        notes=notes,
        sheets=sheets,
        pictures=_pictures(run.folder),
        configurations=configurations,
    )


def _watched(run: Run) -> dict[str, Any]:
    """What the monitor measured last; nothing where it did not."""
    watched = (run.about or {}).get("monitor") or {}
    if not isinstance(watched, dict) or any(
        not isinstance(watched.get(name, 0.0), int | float) for name in MEASURES
    ):
        raise _damaged(run.folder / DESCRIPTION)
    return watched


def _last_losses(folder: Path) -> Sheet | None:
    """The losses at the end of the last epoch; None where no epoch has ended."""
    path = folder / "metrics.csv"
    try:
        last = {
            name: (float(row[name]), int(row["epoch"]) + 1)
            for row in read_curves(path)
            for name in row
            if name and name.endswith("loss") and row[name]
        }
    except (ValueError, KeyError, TypeError, csv.Error):
        raise _damaged(path) from None
    rows = [
        [Entry(name.replace("_", " ")), Entry(f"{loss:.4g}", loss), Entry(str(epoch), epoch)]
        for name, (loss, epoch) in last.items()
    ]
    return Sheet("Losses, as measured last", ("loss", "value", "epoch"), rows) if rows else None


def _facts(run: Run) -> list[tuple[str, str]]:
    """What the run is of, as far as it says so."""
    config, about = run.config, run.about or {}
    facts = {"Folder": str(run.folder), "Data": config.get("data")}
    data = about.get("data")
    if isinstance(data, dict):
        data = data.get("attrs", data)  # a fine-tuned network describes its data in full
        facts |= {"Model of DeepLense": data.get("model"), "Preset": data.get("preset")}
    if "task" in config:
        facts |= {
            "Task": config["task"],
            "Encoder": _encoder(config),
            "Trained": "the head alone" if config.get("mode") == "linear" else "all weights",
            "Labels a class": config.get("labels_per_class") or "all",
        }
    elif "method" in config:
        facts |= {"Method": config["method"]}
        facts |= {name.capitalize(): about.get(name) for name in ("images", "epochs", "parameters")}
    if "seed" in config:
        facts["Seed"] = config["seed"]
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


def _encoder(config: dict[str, Any]) -> str:
    if config.get("encoder") == "none":
        return f"{config.get('backbone', 'vit')}, from scratch"
    return str(config.get("encoder", ""))


def _pictures(folder: Path) -> list[Picture]:
    """Every PNG file of a folder."""
    return [
        picture(path, _CAPTIONS.get(path.stem) or f"{path.stem.replace('_', ' ').capitalize()}.")
        for path in sorted(folder.glob("*.png"))
    ]


def _overview(runs: dict[str, Run], folder: Path) -> list[Sheet]:
    """A table a task, and one of pretraining: the runs by what tells them apart."""
    kinds: dict[str, dict[str, Run]] = {}
    for anchor, run in runs.items():
        kinds.setdefault(run.kind, {})[anchor] = run
    return [_overview_of(kind, alike, folder) for kind, alike in kinds.items()]


def _overview_of(kind: str, runs: dict[str, Run], folder: Path) -> Sheet:
    table = []
    for anchor, run in runs.items():
        facts = dict(_facts(run))
        first = Entry(str(run.folder.relative_to(folder)), None, anchor)
        table.append(
            {"run": first}
            | {
                name.lower(): _of_text(facts[name])
                for name in ("Data", "Encoder", "Labels a class", "Epochs", "Seed")
                if name in facts
            }
            | _measured(run)
        )
    head = dict.fromkeys(name for row in table for name in row)
    rows = [[row.get(name, Entry("–")) for name in head] for row in table]
    return Sheet(f"Runs of {kind}", tuple(head), rows)


def _of_text(text: str) -> Entry:
    if text == "all":  # labels
        return Entry(text, math.inf)
    return Entry(text, float(text) if text.isdecimal() else None)


def _measured(run: Run) -> dict[str, Entry]:
    if not run.finished:
        return {"state": Entry("not finished")}
    if run.metrics is not None:
        with _read_from(run.folder / METRICS):
            return headline(run.metrics)
    return _entries(_watched(run))


def _entries(watched: dict[str, Any]) -> dict[str, Entry]:
    return {
        name.replace("_", " "): Entry(f"{watched[name]:.3f}", float(watched[name]))
        for name in MEASURES
        if name in watched
    }
