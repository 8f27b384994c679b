"""A run as a section of a page: facts, tables, pictures and configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learn.reporting.html_page import Section
from learn.reporting.own_files import find_file
from learn.reporting.pictures import find_pictures
from learn.reporting.run_folder import Run, reading
from learn.reporting.table import Entry, Table
from learn.reporting.task_report import count_tested, describe_tested
from learn.run_files import CONFIG, METRICS
from lensphys.ground.files import read_json

#: Captions of pictures that any run may have.
_CAPTIONS = {
    "loss": "Loss against the epoch.",
    "lens_fits": "Images, the fitted lenses, residuals, S/N of one more mass, and sources.",
}

#: The numbers of the lens fits of a run.
_LENS_FITS = "lens_fits.json"
#: The trained part of a network, by the mode of its run.
_TRAINED = {"linear": "the head alone", "lora": "the head, and low-rank changes of the encoder"}


def run_section(run: Run) -> Section:
    """The section on a run.

    Raises:
        InputError: for a damaged file.
    """
    tables, notes, warnings = [], [], []
    captions, alts = dict(_CAPTIONS), _describe_training(run)
    if not run.finished:
        warnings.append("This run is not finished: its command, run again, goes on with it.")
    if run.metrics is not None:
        if run.task is None:
            warnings.append(
                "This folder does not name its task, so its metrics are shown without their "
                "baseline: evaluate again with --out."
            )
        with reading(run.folder / METRICS):
            tested = describe_tested(run.metrics)
            tables.append(run.report.table(tested, run.metrics))
            notes += run.report.notes(run.metrics)
            alts |= run.report.alt_texts(run.metrics)
            known = "" if count_tested(run.metrics) is None else f" {tested}."
            captions |= {name: text + known for name, text in run.report.captions.items()}
    elif "method" in run.config:
        warnings += [f"Collapsed: {sign}." for sign in run.signs_of_collapse()]
        rows = [[Entry(name), entry] for name, entry in _monitored(run).items()]
        if rows:
            tables.append(Table("Held-out images", ("measure", "this run"), rows))
    if losses := run.losses():
        tables.append(_losses(losses))
    configurations = []
    if path := find_file(run.folder, CONFIG):
        configurations.append(("Configuration", path.read_text(encoding="utf-8")))
    return Section(
        run.kind,
        facts=list(run_facts(run).items()),
        warnings=warnings,
        notes=notes,
        tables=tables,
        pictures=find_pictures(run.folder, captions, alts),
        configurations=configurations,
    )


def run_facts(run: Run) -> dict[str, str]:
    """Names and values that describe a run, as far as its files hold them."""
    config, about = run.config, run.about or {}
    facts = {"Folder": str(run.folder), "Data": run.data, "Run": run.evaluation.get("run")}
    data = about.get("data")
    if isinstance(data, dict):
        data = data.get("attrs", data)  # a fine-tuned network describes its data in full
        facts |= {"Model of DeepLense": data.get("model"), "Preset": data.get("preset")}
    if "task" in config:
        facts |= {
            "Task": config["task"],
            "Encoder": _encoder(config),
            "Trained": _TRAINED.get(str(config.get("mode")), "all weights"),
            "Labels a class": config.get("labels_per_class") or "all",
        }
    elif "method" in config:
        facts |= {"Method": config["method"]}
        facts |= {name.capitalize(): about.get(name) for name in ("images", "epochs", "parameters")}
    if "seed" in config:
        facts["Seed"] = config["seed"]
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def headline(run: Run) -> dict[str, Entry]:
    """The measures by which a run compares with others of its kind.

    Raises:
        InputError: for a damaged file.
    """
    if not run.finished:
        return {"state": Entry("not finished")}
    if run.metrics is not None:
        with reading(run.folder / METRICS):
            return run.report.headline_entries(run.metrics)
    return _monitored(run)


def _monitored(run: Run) -> dict[str, Entry]:
    return {
        name.replace("_", " "): Entry(f"{value:.3f}", value)
        for name, value in run.monitored().items()
    }


def _losses(losses: Mapping[str, Sequence[tuple[float, int]]]) -> Table:
    rows = [
        [Entry(name.replace("_", " ")), Entry(f"{loss:.4g}", loss), Entry(str(epoch), epoch)]
        for name, points in losses.items()
        for loss, epoch in points[-1:]
    ]
    return Table("Losses, as measured last", ("loss", "value", "epoch"), rows)


def _describe_training(run: Run) -> dict[str, str]:
    """Descriptions of the figures that any run may have, from the numbers beside them."""
    alts = {}
    if losses := run.losses():
        last = max(epoch for points in losses.values() for _, epoch in points)
        courses = (
            f"{name.replace('_', ' ')} from {points[0][0]:.4g} to {points[-1][0]:.4g}"
            for name, points in losses.items()
        )
        alts["loss"] = (
            f"Line chart of the loss against the epoch, from 1 to {last}: {', '.join(courses)}."
        )
    if path := find_file(run.folder, _LENS_FITS):
        with reading(path):
            found = read_json(path)
            alts["lens_fits"] = (
                "Rows of five panels, for images whose chi^2 is low, usual and high: image, fitted "
                "model, residual in sigma, S/N of one more mass, all in arcsec with critical "
                f"curves, and the source with its caustics. Of {int(found['images']):,} fits the "
                f"median of chi^2 over degrees of freedom is {found['chi2_dof']['median']:.2f}."
            )
    return alts


def _encoder(config: dict[str, Any]) -> str:
    if config.get("encoder") == "none":
        return f"{config.get('backbone', 'vit')}, from scratch"
    return str(config.get("encoder", ""))
