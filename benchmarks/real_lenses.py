"""Real lenses: models, S/N maps and flags, and the score of a network beside that of controls.

    python benchmarks/real_lenses.py RUN LENSES [--pixel-scale 0.05] [--out real_lenses]

LENSES is a folder of lenses with noise maps and PSFs, or a catalogue, as `python cli.py model`
takes them. RUN is a finished `finetune --task classify` whose encoder sees lens fits. Each lens is
modelled, and given to the network with its own noise map and PSF. The score is the probability of
substructure, whatever kind.

A real lens has no truth to compare with. The control is the same lens with the residual of its fit
flipped, left to right and up and down, or turned by 90, 180 and 270 degrees about the centre of the
lens: model, noise and PSF stay, and so does the size of the misfit, but not its place on the arcs.
If masses made it, the original scores higher than its controls; if the noise or a model that is too
simple did, as often as not.

Finished lenses stay in the folder, and are not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from astropy.io import fits
from matplotlib.figure import Figure
from numpy.typing import NDArray

from learn.config import PredictConfig
from learn.data import Batch
from learn.inference.cutouts import Cutout, CutoutRemarks, find_optics
from learn.inference.lens_cutouts import read_lens_cutouts
from learn.inference.model import Model, load_model
from learn.lens_fits.channels import CHANNELS
from learn.modelling.reading.lens_files import Given, LensFiles, find_lenses
from learn.modelling.run import model_lenses
from learn.modelling.settings import ModelSettings
from learn.modelling.tables.row_files import MAPS, ROW, lens_file, read_row
from learn.run_files import MODEL
from learn.tasks.judging import judge_batch
from learn.tasks.misfit import find_seen
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.files import read_json, sha256, write_text
from simulate.dataset.figures import save_figure

#: Place of a pixel from the centre, to that of the pixel whose residual it takes.
CONTROLS = {
    "left to right": lambda u, v: (-u, v),
    "up and down": lambda u, v: (u, -v),
    "90 degrees": lambda u, v: (v, -u),
    "180 degrees": lambda u, v: (-u, -v),
    "270 degrees": lambda u, v: (-v, u),
}
#: Resamplings of the lenses for an interval.
_RESAMPLED = 10_000


def move_residual(
    residual: NDArray[np.float64], centre: tuple[float, float], control: str
) -> NDArray[np.float64]:
    """Flip or turn a residual (ny, nx) about a centre (x, y), in pixels from the first.

    The centre is that of a pixel or a corner, the nearest, so that no pixel is mixed with others.
    What would come from outside of the image stays what it is.
    """
    total, difference = round(centre[0] + centre[1]), round(centre[0] - centre[1])
    x, y = (total + difference) / 2, (total - difference) / 2
    rows, columns = np.indices(residual.shape)
    u, v = CONTROLS[control](columns - x, rows - y)
    i, j = np.rint(u + x).astype(np.int64), np.rint(v + y).astype(np.int64)
    ny, nx = residual.shape
    inside = (i >= 0) & (i < nx) & (j >= 0) & (j < ny)
    return np.where(inside, residual[j.clip(0, ny - 1), i.clip(0, nx - 1)], residual)


@torch.inference_mode()
def predict(model: Model, cutout: Cutout, pixels: NDArray[np.float64]) -> tuple[Batch, float]:
    """Fit one image of a lens; return the batch of it and the score."""
    exposure = np.array([cutout.exposure_time])
    batch = model.prepare(pixels[None].astype(np.float32), exposure, find_optics([cutout]))
    probability = model.task.predict_batch(batch)[0]
    return batch, 1 - float(probability[model.label_names.index("no_sub")])


def judge(model: Model, cutout: Cutout) -> dict[str, Any]:
    """Return score, controls and flags of a lens."""
    pixels = cutout.frame.pixels
    batch, score = predict(model, cutout, pixels)
    channels, known = batch.channels, batch.fits
    assert channels is not None
    assert known is not None
    residual, sigma = (
        channels[0, CHANNELS[name]][0].double().numpy() for name in ("residual", "sigma")
    )
    seen = find_seen(torch.from_numpy(sigma)[None])[0].numpy()
    middle = (np.array(pixels.shape)[::-1] - 1) / 2
    place = [float(known.params[f"center_{axis}"][0]) / model.pixel_scale for axis in "xy"]
    centre = (middle[0] + place[0], middle[1] + place[1])
    controls = {}
    for control in CONTROLS:
        # A masked pixel has no residual, neither its own nor for another.
        both = seen & (move_residual(seen, centre, control) > 0)
        moved = np.where(both, move_residual(residual, centre, control), residual)
        controls[control] = predict(model, cutout, pixels + (moved - residual) * sigma)[1]
    judged = judge_batch(model.task, batch)
    found: dict[str, Any] = {"score": score, "controls": controls}
    found["fit"] = {name: float(known.params[name][0]) for name in ("theta_E", "gamma")}
    found["converged"] = bool(known.converged[0])
    if judged is not None:
        found["flag"] = str(judged.flags[0])
        found |= {name: float(column[0]) for name, column in judged.columns.items()}
    return found


def compare_with_controls(lenses: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Fraction of the controls that score less than their original, with its 95% interval.

    Half a control that scores the same counts. Lenses are resampled, since the controls of one are
    not independent.
    """
    share = np.array(
        [
            np.mean([np.heaviside(lens["score"] - s, 0.5) for s in lens["controls"].values()])
            for lens in lenses
        ]
    )
    drawn = np.random.default_rng(0).choice(share, (_RESAMPLED, len(share))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(share.mean()), float(low), float(high)


def draw_maps(names: list[str], models: Path, scores: dict[str, float], path: Path) -> None:
    """Draw the S/N map of one more point mass for each lens, with the Einstein radius."""
    columns = min(5, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    shown = None
    for ax in axes.flat:
        ax.axis("off")
    for name, ax in zip(names, axes.flat, strict=False):
        with fits.open(lens_file(models, name, MAPS)) as file:
            snr, header = file["SNR"].data, file[0].header
        half_y, half_x = (n * header["PIXSCALE"] / 2 for n in snr.shape)
        edges = (-half_x, half_x, -half_y, half_y)
        shown = ax.imshow(snr, origin="lower", extent=edges, cmap="RdBu_r", vmin=-8, vmax=8)
        angle = np.linspace(0, 2 * np.pi, 200)
        theta_E = header["THETA_E"]
        ax.plot(theta_E * np.cos(angle), theta_E * np.sin(angle), color="0.3", linewidth=0.6)
        ax.set_title(f"{name}\nscore {scores[name]:.2f}", fontsize=8)
    if shown is not None:
        figure.colorbar(shown, ax=axes, label="S/N of one more mass", shrink=0.6)
    save_figure(figure, path)


def report(found: dict[str, dict[str, Any]], models: Path, out: Path) -> None:
    """Print a table of all lenses and the sums, and draw the maps of those without a flag."""
    print("| lens | theta_E | flags of the model | flag | chi2/dof | score | controls |")
    print("|---|---|---|---|---|---|---|")
    modelled = {name: read_row(lens_file(models, name, ROW)) for name in found}
    for name, lens in found.items():
        row = modelled[name]
        theta_E = row.values.get("theta_E")
        shown = "" if theta_E is None else f"{theta_E:.3f}"
        flags = row.reason or "; ".join(row.flags)
        scores = ", ".join(f"{score:.2f}" for score in lens["controls"].values())
        chi2 = lens.get("chi2_dof", float("nan"))
        print(
            f"| {name} | {shown} | {flags} | {lens.get('flag', '')} | {chi2:.2f} | "
            f"{lens['score']:.2f} | {scores} |"
        )
    counts = Counter(flag for row in modelled.values() for flag in row.flags)
    print(f"\n{sum(bool(row.flags) for row in modelled.values())} of {len(found)} models flagged")
    print("\n".join(f"  {flag}: {count}" for flag, count in counts.most_common()))
    flagged = Counter(lens.get("flag", "") for lens in found.values())
    print(f"{len(found) - flagged['']} of {len(found)} flagged by the network:")
    print("\n".join(f"  {flag}: {n}" for flag, n in flagged.most_common() if flag))
    ordinary = {name: lens for name, lens in found.items() if not lens.get("flag")}
    for what, some in (("all", found), ("without a flag", ordinary)):
        if some:
            share, low, high = compare_with_controls(list(some.values()))
            print(
                f"{what}: {share:.2f} of the controls score less than their original ({low:.2f} to "
                f"{high:.2f} with 95% confidence; 0.5 by chance)"
            )
    drawn = [name for name, row in modelled.items() if not row.flags and not row.reason]
    if drawn:
        draw_maps(drawn, models, {n: found[n]["score"] for n in drawn}, out / "snr_maps.png")


def main() -> None:
    """Model and judge what the folder lacks, and report on all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("lenses", type=Path, nargs="+")
    parser.add_argument("--pixel-scale", type=float, help="arcsec, of images that do not state it")
    parser.add_argument("--out", type=Path, default=Path("real_lenses"))
    options = parser.parse_args()
    model = load_model(options.run)
    lenses = find_lenses(options.lenses, Given())
    models, scale = options.out / "models", options.pixel_scale
    shipped = shipped_config("model", "model", "command")
    settings = load_config(ModelSettings, shipped, out=models, pixel_scale=scale)
    model_lenses(lenses, settings, lambda total, there: lambda n: None, warn)
    path, weights = options.out / "scores.json", sha256(options.run / MODEL)
    empty: dict[str, Any] = {"weights": weights, "lenses": {}}
    known = read_json(path) if path.is_file() else empty
    if known.get("weights") != weights:
        parser.error(f"{path} has the scores of another network; choose another --out")
    found = known["lenses"]
    for lens in lenses:
        if lens.name not in found and (cutout := read_one(lens, model, scale)) is not None:
            found[lens.name] = judge(model, cutout)
            write_text(path, json.dumps(known, indent=1) + "\n")
            warn(f"{lens.name}: score {found[lens.name]['score']:.2f}")
    report(found, models, options.out)


def read_one(lens: LensFiles, model: Model, pixel_scale: float | None) -> Cutout | None:
    """Read one lens on the pixels of the network; None, with the reason said, where it cannot."""
    config = load_config(
        PredictConfig, shipped_config("predict", "predict", "command"), pixel_scale=pixel_scale
    )
    remarks = CutoutRemarks()
    cutouts = list(read_lens_cutouts([lens], model, config, remarks, lambda path, part: None))
    for line in remarks.broken:
        warn(f"skipped {line}")
    return cutouts[0] if cutouts else None


def warn(line: str) -> None:
    """Print a line apart from the table."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
