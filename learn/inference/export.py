"""A fine-tuned network as a folder to give away: weights, configuration, model card, ONNX."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml

from learn.data_description import strip_paths
from learn.inference.model import Model, load_model
from learn.inference.unknown import list_unknown
from learn.networks.encoder_files import describe_encoder
from learn.reporting.task_report import FLAGGED, TaskReport
from learn.run_files import CHECKPOINTS, CONFIG, DESCRIPTION, METRICS, MODEL, read_metrics
from learn.tasks import task_report
from learn.weights.shipped import DEFAULT
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing, sha256, write_text
from lensphys.ground.locks import hold
from lensphys.ground.names import markdown_text

_log = logging.getLogger(__name__)

CARD, ONNX = "README.md", "model.onnx"
#: The trained part of a network, by the mode of its run.
_FINE_TUNED = {
    "full": "encoder and head",
    "linear": "head only",
    "lora": "head, and low-rank changes of the encoder",
}
#: How a model card of ours begins.
_CARD_HEAD = "---\nlibrary_name: lensphys\n"


def export(run: Path, out: Path | None = None, *, onnx: bool = False) -> Path:
    """Write what is needed to use the network of a run, and nothing of the machine it was made on.

    Args:
        run: folder of a finished fine-tuning run.
        out: folder; None: ``export`` in that of the run.
        onnx: write ``model.onnx`` too.

    Returns:
        The folder. :func:`learn.load_model` and ``python cli.py predict`` read it.

    Raises:
        InputError: for a folder without a finished run, one that holds something else, or where
            ONNX is not installed.
    """
    if onnx and not (find_spec("onnx") and find_spec("onnxscript")):
        raise InputError(
            "--onnx needs more packages; install them with `pip install 'lensphys[onnx]'`"
        )
    model = load_model(run)
    if onnx:
        _check_onnx(model)
    out = out or run / "export"
    config = strip_paths(model.task.config.model_dump(mode="json") | {"out": None})
    text = yaml.safe_dump(config, sort_keys=False)
    with hold(out):
        _check_own(out, run, text)
        # Before the first file is written: damaged metrics leave nothing behind.
        card = model_card(model, onnx or (out / ONNX).is_file())
        metrics = (run / METRICS).read_text(encoding="utf-8")
        write_text(out / CONFIG, text)
        write_text(out / DESCRIPTION, json.dumps(describe(model), indent=1) + "\n")
        with replacing(out / MODEL) as path:
            shutil.copyfile(run / MODEL, path)
        if onnx:
            write_onnx(model, out / ONNX)
        write_text(out / CARD, card)
        write_text(out / METRICS, metrics)
    return out


def describe(model: Model) -> dict[str, Any]:
    """Describe the encoder of a network, as ``encoder.json`` holds it."""
    encoder = model.task.encoder
    about = describe_encoder(model.task.config, model.data.attrs, encoder)
    return about | {"encoder": encoder.config.model_dump()}


def write_onnx(model: Model, path: Path) -> None:
    """Write a network in the ONNX format: ``images`` (batch, 1, size, size) of flux in.

    The batch may be of any size, the images not.

    Raises:
        InputError: for a network that sees fits of lenses.
    """
    _check_onnx(model)
    images = torch.zeros(2, 1, model.size, model.size, device=model.task.stretch.softening.device)
    _log.info("writing %s ...", path)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, on itself
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["predictions"],
            verbose=False,
        )
    assert program is not None
    with replacing(path) as temporary:
        program.save(temporary, external_data=False)


def _check_onnx(model: Model) -> None:
    if model.task.lens_fitting is not None:
        raise InputError(
            f"{model.folder} fits a lens to each image before its network sees it, and ONNX cannot "
            "express that; leave out --onnx"
        )


def model_card(model: Model, onnx: bool, network: str | None = None) -> str:
    """``README.md``: what the network does, what it learned from, how well, and where it fails.

    Args:
        model: the network.
        onnx: it is there as ONNX too.
        network: the name under which it ships with the package; None: it does not.
    """
    config, data = model.task.config, model.data
    metrics = read_metrics(model.folder)
    lines = [
        *_CARD_HEAD.splitlines(),
        f"tags: [gravitational-lensing, {config.task}]",
        "---",
        "",
        f"# {config.task}: strong gravitational lenses, model "
        f"{markdown_text(data.attrs.get('model'))} ({markdown_text(data.attrs.get('preset'))})",
        "",
        *_section("What it is", _architecture(model)),
        *_section("What it was trained on", _data(model)),
        "## How well it does",
        "",
        f"On test images that it has never seen, {config.test_fraction:.0%} of the {data.images} "
        f"images of its data set; one run, seed {config.seed}.",
        "",
        *_scores(metrics, task_report(config.task)),
        "",
        "## Use",
        "",
        *_usage(model, onnx, network),
        "",
        "## What it cannot know",
        "",
        *(f"- {line}" for line in list_unknown(model)),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(model, metrics)),
    ]
    return "\n".join(lines) + "\n"


def _check_own(out: Path, run: Path, config: str) -> None:
    """Refuse a folder that holds anything but an earlier export of the same run."""
    if not any(out.iterdir()):
        return
    path, weights = out / CONFIG, out / MODEL
    same = (
        path.is_file()
        and path.read_text(encoding="utf-8") == config
        and not (out / CHECKPOINTS).exists()
    )
    card = out / CARD
    same = same and (not card.is_file() or card.read_bytes().startswith(_CARD_HEAD.encode()))
    if not same or (weights.is_file() and sha256(weights) != sha256(run / MODEL)):
        raise InputError(f"{out} holds other files; choose an empty folder with --out")


def _section(title: str, rows: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {title}", "", "| | |", "|---|---|")
    shown = {name: markdown_text(value) for name, value in rows.items() if value is not None}
    yield from (f"| {name} | {value} |" for name, value in shown.items())
    yield ""


def _architecture(model: Model) -> dict[str, Any]:
    config, encoder = model.task.config, model.task.encoder.config.model_dump()
    start = "random weights" if config.encoder == "none" else "a pretrained encoder"
    labels = config.labels_per_class
    return {
        "task": config.task,
        "encoder": ", ".join(f"{name} {value}" for name, value in encoder.items()),
        "started from": start,
        "fine-tuned": _FINE_TUNED[config.mode],
        "labels per class": "all" if labels is None else labels,
        "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
    }


def _data(model: Model) -> dict[str, Any]:
    attrs = model.data.attrs
    return {
        "model": attrs.get("model"),
        "preset": attrs.get("preset"),
        "instrument": attrs.get("instrument"),
        "images": model.data.images,
        "classes": ", ".join(model.label_names),
        "size": f"{model.size} x {model.size} pixels",
        "pixel scale": f"{model.pixel_scale:.4g} arcsec",
        "PSF": _describe_psf(attrs),
        "unit of flux": model.unit,
    }


def _describe_psf(attrs: dict[str, Any]) -> str | None:
    if "psf_fwhm" not in attrs:
        return None
    wings = f", Moffat with beta {attrs['psf_beta']:.3g}" if "psf_beta" in attrs else ""
    return f"{attrs['psf_fwhm']:.3g} arcsec FWHM{wings}"


def _scores(metrics: dict[str, Any], report: TaskReport) -> Iterator[str]:
    """A table of all numbers, each beside that of the baseline where there is one."""
    scores = dict(_numbers(metrics))
    known = [f"{prefix}_" for prefix in report.prefixes]
    prefixes = [p for p in known if any(p + name in scores for name in scores)]
    names = [name for name in scores if not name.startswith(tuple(prefixes))]
    yield f"| | this model | {' | '.join(prefix[:-1] for prefix in prefixes)} |"
    yield "|---|---:|" + "---:|" * len(prefixes)
    for name in names:
        row = [scores[name], *(scores.get(prefix + name) for prefix in prefixes)]
        numbers = " | ".join("" if v is None else f"{v:.4g}" for v in row)
        yield f"| {markdown_text(name)} | {numbers} |"


def _numbers(metrics: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)


def _usage(model: Model, onnx: bool, network: str | None) -> Iterator[str]:
    load, run = 'load_model("DIR")  # this folder', "DIR"
    if network is not None:
        load, run = f'load_model("{DEFAULT}", "{network}")', f"{DEFAULT} --task {network}"
    yield from (
        "```python",
        "from learn import load_model",
        f"model = {load}",
        f"predictions = model(images)  # (B, {model.size}, {model.size}) flux per pixel",
        "```",
        "",
        f"or `python cli.py predict {run} cutouts/*.fits`, which brings images on other pixels and "
        "of other sizes into this form.",
    )
    if onnx:
        yield from (
            "",
            f"`{ONNX}` takes `images` (B, 1, {model.size}, {model.size}), float32 flux per pixel, "
            "and gives the same `predictions` without this program.",
        )


def _limits(model: Model, metrics: dict[str, Any]) -> Iterator[str]:
    attrs = model.data.attrs
    made = "imported" if attrs.get("preset") == "imported" else "simulated"
    yield (
        f"It has seen {made} images of one kind only (the table above). The numbers hold for "
        "images like these; nothing is said here of other instruments, noise, or lenses."
    )
    quantity = "Surface brightnesses" if model.surface_brightness else "Fluxes"
    yield (
        f"{quantity} must be on pixels of {model.pixel_scale:.4g} arcsec and in the unit "
        f"'{markdown_text(model.unit)}'; nothing is rescaled to it. `predict` resamples pixels and "
        "conserves flux, but leaves PSF and noise as they are."
    )
    if model.task.makes_images:
        yield "Detail finer than the PSF is inferred from the training images, not measured."
    else:
        yield "Every image gets a prediction, also one that is like nothing it was trained on."
    if (flagged := metrics.get(FLAGGED)) is not None:
        yield (
            "Images that are unlike the training have a flag, and so do "
            f"{flagged['share']:.1%} of test images that are like it (95% interval "
            f"{flagged['low']:.1%} to {flagged['high']:.1%}). An image without a flag can still "
            "differ in what the test does not see."
        )
    if attrs.get("preset") == "published":
        yield (
            "The published preset keeps what its data sets are like, shortcuts between the classes "
            "included; a high score there need not mean that substructure was recognised."
        )
