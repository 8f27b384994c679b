"""A classifier and its lens fits where their assumptions do not hold, and how many it flags.

    python benchmarks/prior_limits.py RUN [--galaxies FILE] [--n 600] [--out prior_limits.json]

RUN is a finished `finetune --task classify` on a data set of ours, of any preset. Every row is a
data set like the one that it was trained on, with other seeds and one thing changed that neither
network nor fits are told of. Of images without substructure: the medians of chi^2 over the degrees
of freedom and of the error of theta_E, and the fraction that is taken to have substructure. Of all:
the fraction whose fit has converged, the accuracy, the area under the ROC curve, mean over the
classes, the fraction with a flag, and the accuracy of the others. Images without a lens have no
class: how many are taken to have substructure, and how many flagged, is all there is to measure.

Each row is added to the file as it is measured, and a row that is there is not measured again. The
figure is drawn beside the file, from all its rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from learn.fractions import fraction_interval
from learn.inference.model import Model, load_model
from learn.run_files import MODEL
from learn.tasks.judging import judge_batch
from learn.tasks.outliers import TESTS
from lensphys.ground.files import read_json, sha256, write_text
from simulate.backends import make_renderer
from simulate.config import SimulateConfig
from simulate.dataset.figures import save_figure
from simulate.imaging import make_images
from simulate.instruments import instrument
from simulate.presets import config_of, make_prior
from simulate.sources.galaxies import load_galaxies

_SEED, _BATCH = 77, 100
#: Fraction of look-alikes, in the condition that tests them.
_NON_LENSES = 0.9
#: AB magnitudes at theta_E = 1 arcsec of lenses that do not shine in training, and changes of those
#: that do.
_LENS_LIGHT, _BRIGHTER = {"bright": 19.5, "faint": 23.5}, {"brighter": -1.5, "fainter": 1.5}
#: Multipoles, rms of each order, of which the components have 1 / sqrt(2).
_MULTIPOLES = 0.02
_COLUMNS = {
    "chi2_dof": "chi2/dof",
    "theta_E_error": "d theta_E",
    "converged": "converged",
    "accuracy": "accuracy",
    "auc": "AUC",
    "substructure": "'substructure'",
    "flagged": "flagged",
    "unflagged_accuracy": "accuracy, others",
    "unflagged_substructure": "'substructure', others",
}


@dataclasses.dataclass(frozen=True)
class Condition:
    """Difference from the data that a network was trained on."""

    name: str
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)
    """changed keys of the configuration, by dotted key"""
    psf: float = 1.0
    """width of the PSF, over that which the fits assume"""
    noise: float = 1.0
    """noise of the background, over that which the fits assume"""
    galaxies: Path | None = None
    """file of galaxies as sources"""


def list_conditions(config: SimulateConfig, galaxies: Path | None) -> list[Condition]:
    """Return the conditions that there are for data like these.

    Args:
        config: of the data that a network was trained on.
        galaxies: file with images of galaxies; None without.
    """
    values = config.model_dump()
    found = [Condition("as in training")]
    for width in (0.02, 0.05, 0.1, 0.2):
        found.append(Condition(f"PSF {width:.0%} wider", psf=1 + width))
    found += [Condition(f"noise {more:.0%} above", noise=1 + more) for more in (0.1, 0.2, 0.5)]
    light = "lens_light.brightness.magnitude"
    known = config.lens_light.brightness.magnitude
    if config.shines and known is not None:
        for name, more in _BRIGHTER.items():
            found.append(Condition(f"lens light {abs(more)} mag {name}", {light: known + more}))
    elif not config.shines:
        for name, magnitude in _LENS_LIGHT.items():
            changes = {"lens_light.enabled": True, light: magnitude}
            found.append(Condition(f"{name} lens light, not fitted", changes))
    if "structure" in values.get("source", {}):
        found.append(Condition("sources with twice the structure", _double_structure(values)))
    if galaxies:
        found.append(Condition("galaxies as sources", galaxies=galaxies))
    if "multipoles" in values:
        one: dict[str, Any] = {"distribution": "normal", "mean": 0.0}
        one["sigma"] = _MULTIPOLES / 2**0.5
        wide = one | {"low": -0.08, "high": 0.08}
        amplitudes = {"multipoles.a3": wide, "multipoles.a4": wide}
        found.append(Condition(f"multipoles of {_MULTIPOLES:.0%}", amplitudes))
    if "neighbours" in values:
        found.append(Condition("neighbours in all images", {"neighbours.fraction": 1.0}))
    found.append(Condition("look-alikes, no lens", {"non_lens.fraction": _NON_LENSES}))
    return found


def _double_structure(values: dict[str, Any]) -> dict[str, Any]:
    """Twice the light in clumps, as far as a disc is left, twice the clumps, and deeper arms."""
    structure = values["source"]["structure"]
    clumps, arms = (dict(structure[name]) for name in ("clump_share", "arm_contrast"))
    most = {"clump_share": 0.95 - structure["bulge_share"]["high"], "arm_contrast": 3.0}
    for name, prior in (("clump_share", clumps), ("arm_contrast", arms)):
        prior |= {end: min(2 * prior[end], most[name]) for end in ("low", "high")}
    changed = {"clump_share": clumps, "arm_contrast": arms, "clumps": 2 * structure["clumps"]}
    return {f"source.structure.{name}": value for name, value in changed.items()}


def simulate_under(
    config: SimulateConfig, condition: Condition
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Images (N, 1, H, W) under a condition, and their scene table."""
    values = config.model_dump()
    for key, value in condition.changes.items():
        *path, last = key.split(".")
        part = values
        for name in path:
            part = part[name]
        part[last] = value
    values["galaxies"]["path"] = condition.galaxies
    config = type(config).model_validate(values)
    stamps = load_galaxies(config.galaxies) if condition.galaxies else None
    camera = instrument(config.instrument)
    assert camera.band is not None
    band = dataclasses.replace(
        camera.band,
        read_noise=condition.noise * camera.band.read_noise,
        sky_brightness=camera.band.sky_brightness - 5 * math.log10(condition.noise),
    )
    camera = dataclasses.replace(camera, psf_fwhm=condition.psf * camera.psf_fwhm, band=band)
    renderer = make_renderer(config, camera, config.supersampling, stamps)
    prior, label = make_prior(config), config.labels(0, config.n)
    rows = np.arange(config.n)
    if config.non_lens.fraction:
        rows = np.flatnonzero(label == len(config.classes))
    parts = []
    for start in range(0, config.n, _BATCH):
        stop = min(start + _BATCH, config.n)
        scene, (images,) = make_images(config, prior, [(camera, renderer)], start, stop, stamps)
        parts.append((images, {name: column.numpy() for name, column in scene.params.items()}))
    images = np.concatenate([part[0] for part in parts])
    table = {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]}
    table["label"] = label
    return images[rows], {name: column[rows] for name, column in table.items()}


@torch.inference_mode()
def judge(
    model: Model, images: NDArray[np.float32], table: dict[str, NDArray[Any]]
) -> dict[str, float]:
    """Return a row of the table; what does not apply is left out."""
    label, found, flags = table["label"], list[dict[str, NDArray[Any]]](), []
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        batch = model.prepare(images[rows], table["exposure_time"][rows])
        numbers = {"p": model.task.predict_batch(batch).cpu().numpy()}
        if fits := batch.fits:
            numbers |= {"chi2_dof": fits.chi2_dof.cpu().numpy()}
            numbers |= {"converged": fits.converged.cpu().numpy()}
            numbers |= {"theta_E": fits.params["theta_E"].cpu().numpy()}
        found.append(numbers)
        judged = judge_batch(model.task, batch)
        flags.append(np.full(len(numbers["p"]), "") if judged is None else judged.flags)
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return measure(label, table["theta_E"], np.concatenate(flags), **joined)


def measure(
    label: NDArray[np.int64],
    true_theta_E: NDArray[np.float64],
    flags: NDArray[np.str_],
    *,
    p: NDArray[np.float64],
    **fits: NDArray[Any],
) -> dict[str, float]:
    """Measures of N images by name.

    Args:
        label: (N,) classes, of which the first has no substructure.
        true_theta_E: (N,) arcsec.
        flags: (N,) words.
        p: (N, C) probabilities.
        fits: (N,) ``chi2_dof``, ``converged`` and ``theta_E`` of lens fits; nothing without.
    """
    called, flagged = p.argmax(1), flags != ""
    has_class = label < p.shape[1]
    bare = label == 0 if has_class.all() else np.ones(len(label), np.bool_)
    row: dict[str, Any] = {"images": len(label), "substructure": (called[bare] != 0).mean()}
    if fits:
        row["chi2_dof"] = np.median(fits["chi2_dof"][bare])
        row["converged"] = fits["converged"].mean()
    low, high = fraction_interval(int(flagged.sum()), len(flags))
    row |= {"flagged": flagged.mean(), "flagged_low": low, "flagged_high": high}
    for flag in TESTS.values():
        row[f"flagged_{flag.replace(' ', '_')}"] = (np.char.find(flags, flag) >= 0).mean()
    if (bare & ~flagged).any():
        row["unflagged_substructure"] = (called[bare & ~flagged] != 0).mean()
    if has_class.all():
        right = called == label
        if fits:
            row["theta_E_error"] = np.median(np.abs(fits["theta_E"] - true_theta_E)[bare])
        row["accuracy"] = right.mean()
        row["auc"] = np.mean([roc_auc_score(label == k, p[:, k]) for k in range(p.shape[1])])
        if not flagged.all():
            row["unflagged_accuracy"] = right[~flagged].mean()
    return {name: float(value) for name, value in row.items()}


def draw(rows: dict[str, dict[str, float]], path: Path) -> None:
    """Draw accuracy, images without substructure that are called so, and flags, by condition."""
    names = list(rows)
    figure = Figure(figsize=(10, 0.36 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    place = np.arange(len(names))[::-1]
    panels = (
        ("accuracy", "unflagged_accuracy", "accuracy"),
        ("substructure", "unflagged_substructure", "no_sub called substructure"),
        ("flagged", None, "flagged as unlike the training"),
    )
    for ax, (key, beside, title) in zip(axes, panels, strict=True):
        for name, y in zip(names, place, strict=True):
            row = rows[name]
            if key in row:
                ax.barh(y, row[key], height=0.7, color="#9db7d1")
            if beside in row:
                ax.plot(row[beside], y, "o", color="#b3392f", markersize=5)
        ax.set(title=title, xlim=(0, 1))
        ax.axvline(rows[names[0]].get(key, math.nan), color="0.4", linewidth=0.8, linestyle=":")
    axes[0].set_yticks(place, names)
    axes[0].plot([], [], "o", color="#b3392f", label="images without a flag")
    axes[0].legend(loc="lower left", fontsize=8)
    axes[2].axvline(rows[names[0]]["flagged"], color="0.4", linewidth=0.8, linestyle=":")
    save_figure(figure, path)


def print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print all rows as Markdown."""
    print("| | " + " | ".join(_COLUMNS.values()) + " |")
    print("|---" * (1 + len(_COLUMNS)) + "|")
    for name, row in rows.items():
        cells = [f"{row[key]:.3g}" if key in row else "" for key in _COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    """Measure what the file lacks, and draw all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--galaxies", type=Path, help="images of galaxies, as simulate --sources")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("prior_limits.json"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model(options.run)
    config = config_of(model.data.config, n=options.n, seed=_SEED)
    origin = {"weights": sha256(options.run / MODEL), "n": options.n, "seed": _SEED}
    found = read_json(options.out) if options.out.is_file() else origin | {"conditions": {}}
    if {key: found.get(key) for key in origin} != origin:
        parser.error(f"{options.out} is of another network or --n; choose another --out")
    rows = found["conditions"]
    for condition in list_conditions(config, options.galaxies):
        if condition.name not in rows:
            rows[condition.name] = judge(model, *simulate_under(config, condition))
            write_text(options.out, json.dumps(found, indent=1) + "\n")
            print(f"{condition.name}: {rows[condition.name]}", flush=True)
    print_table(rows)
    draw(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
