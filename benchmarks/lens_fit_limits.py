"""Lens fits, and a classification by them, where their assumptions do not hold.

    python benchmarks/lens_fit_limits.py RUN [--galaxies FILE] [--n 600]

RUN is a finished `finetune --task classify` on a data set of the preset physical, of an encoder
that `pretrain --method physics-ijepa` has left. Every row is a data set like the one it was trained
on, with other seeds and one thing changed that network and fits are not told of. The table has, of
images without substructure, the medians of chi^2 over the degrees of freedom and of the error of
theta_E, and the part that is taken to have substructure; of all images, the part whose fit has
converged, the accuracy, and the area under the ROC curve, mean over the classes. Images without a
lens have no class: how many are taken to have substructure is all there is to say.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from learn.data import Batch
from learn.inference.model import Model, load_model
from learn.lens_fits.solve import fit_loose_images
from simulate.backends import make_renderer
from simulate.dataset.photometry import Photometry
from simulate.imaging import make_images
from simulate.instruments import instrument
from simulate.presets import config_of, make_prior
from simulate.sources.galaxies import load_galaxies

_SEED, _BATCH = 77, 128
#: Fraction of look-alikes, in the condition that tests them.
_NON_LENSES = 0.9
#: AB magnitudes at theta_E = 1 arcsec.
_LENS_LIGHT = {"bright": 19.5, "faint": 23.5}


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


def conditions(galaxies: Path | None) -> list[Condition]:
    """Return all conditions."""
    found = [Condition("as in training")]
    found += [Condition(f"PSF {width:.0%} as wide", psf=width) for width in (1.02, 1.05, 1.1, 1.2)]
    found.append(Condition("background noise 120%", noise=1.2))
    for name, magnitude in _LENS_LIGHT.items():
        changes = {"lens_light.enabled": True, "lens_light.brightness.magnitude": magnitude}
        found.append(Condition(f"{name} lens light, not fitted", changes))
    if galaxies:
        found.append(Condition("galaxies as sources", galaxies=galaxies))
    found.append(Condition("look-alikes, no lens", {"non_lens.fraction": _NON_LENSES}))
    return found


def simulate_under(
    model: Model, condition: Condition, n: int
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Images (N, 1, H, W) under a condition, and their scene table."""
    config = config_of(model.data.config, n=n, seed=_SEED)
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
    scene, (images,) = make_images(config, make_prior(config), [(camera, renderer)], 0, n, stamps)
    table = {name: column.numpy() for name, column in scene.params.items()}
    table["label"] = scene.label.numpy()
    rows = np.arange(n)
    if config.non_lens.fraction:
        rows = np.flatnonzero(table["label"] == len(config.classes))
    return images[rows], {name: column[rows] for name, column in table.items()}


@torch.inference_mode()
def judge(model: Model, images: NDArray[np.float32], table: dict[str, NDArray[Any]]) -> str:
    """A line of the table."""
    exposure, label = table["exposure_time"], table["label"]
    wanted, attrs = model.task.encoder.config.lens_fit, model.data.attrs
    known = Photometry.known(attrs, exposure, "image", "", model.data.config)
    chi2, converged, theta_E, probability = [], [], [], []
    for start in range(0, len(images), _BATCH):
        rows = slice(start, start + _BATCH)
        flux = torch.from_numpy(images[rows])
        fits = fit_loose_images(flux, known.select(rows), wanted, lens_light=False)
        batch = Batch(flux, torch.from_numpy(label[rows]), None, fits=fits)
        probability.append(model.task.predict_batch(batch))
        chi2.append(fits.chi2_dof)
        converged.append(fits.converged)
        theta_E.append(fits.params["theta_E"])
    chi2, theta_E, p = (torch.cat(part).numpy() for part in (chi2, theta_E, probability))
    share = torch.cat(converged).float().mean()
    bare = label == 0
    if not bare.any():
        taken = (p.argmax(1) != 0).mean()
        return f"{np.median(chi2):9.2f} {'':>10s} {share:10.2f} {'':>9s} {'':>6s} {taken:10.2f}"
    error = np.abs(theta_E - table["theta_E"])
    auc = np.mean([roc_auc_score(label == k, p[:, k]) for k in range(p.shape[1])])
    return (
        f"{np.median(chi2[bare]):9.2f} {np.median(error[bare]):10.4f} {share:10.2f} "
        f"{(p.argmax(1) == label).mean():9.3f} {auc:6.3f} {(p[bare].argmax(1) != 0).mean():10.2f}"
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--galaxies", type=Path, help="images of galaxies, as simulate --sources")
    parser.add_argument("--n", type=int, default=600)
    options = parser.parse_args()
    model = load_model(options.run)
    print(f"{'':30s} chi2/dof  d theta_E  converged  accuracy    AUC  'substructure'")
    for condition in conditions(options.galaxies):
        line = judge(model, *simulate_under(model, condition, options.n))
        print(f"{condition.name:30s} {line}", flush=True)


if __name__ == "__main__":
    main()
