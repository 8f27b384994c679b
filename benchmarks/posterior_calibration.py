"""Simulation-based calibration of `lp.sample`: ranks of truths among draws from their posterior.

    python benchmarks/posterior_calibration.py [--scene sersic|shapelets] [--lenses N] [--out FILE]

Truths are drawn from the prior that the sampler uses, one noise level for all. If the draws are
those of the posterior, the rank of a truth among 99 of them is uniform (Talts et al. 2018,
arXiv:1804.06788). The table has for each parameter the p-value of chi^2 over 20 bins of ranks, that
of the largest deviation of their cumulative distribution (Sailynoja et al. 2022, Statistics and
Computing 32, 32, by simulation), and how often the central 68% of the draws hold the truth. Below 1
in 100 tests fails if all is well: with so many p-values, the smallest times their number counts.

Fits of Sersic sources start from their own search. Those of shapelets, whose amplitudes are drawn
from their Gaussian prior of known strength, start from the truth. Results are kept batch by batch;
the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

import lensphys as lp
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.scene import LensScene
from lensphys.rendering import Pixels

_BATCH, _DRAWS, _BINS, _SIZE, _PIXEL = 16, 99, 20, 32, 0.12
#: Noise of a pixel: 1 / 60 of the median peak of the images of Sersic sources.
_SIGMA = 0.095
#: Flat priors, between these ends.
_FLAT = {
    "theta_E": (0.7, 1.2),
    "e1": (-0.25, 0.25),
    "e2": (-0.25, 0.25),
    "source_amplitude": (50.0, 100.0),
    "source_R_sersic": (0.15, 0.35),
    "source_n_sersic": (0.5, 1.5),
    "source_e1": (-0.25, 0.25),
    "source_e2": (-0.25, 0.25),
    "source_center_x": (-0.3, 0.3),
    "source_center_y": (-0.3, 0.3),
}
#: Gaussian priors, mean and standard deviation.
_NORMAL = {
    "center_x": (0.0, 0.03),
    "center_y": (0.0, 0.03),
    "gamma1": (0.0, 0.04),
    "gamma2": (0.0, 0.04),
}
#: All priors of scenes with shapelets, whose order is this.
_SHAPELETS = _NORMAL | {
    "theta_E": (1.0, 0.1),
    "e1": (0.0, 0.1),
    "e2": (0.0, 0.1),
    "source_center_x": (0.0, 0.1),
    "source_center_y": (0.0, 0.1),
    "source_beta": (0.12, 0.01),
}
_ORDER = 4
#: Standard deviation of the first amplitude of shapelets, in the noise of a pixel per arcsec^2.
_AMPLITUDE = 60.0


Batch = tuple[lp.FitResult, dict[str, Tensor]]


def fit_sersic(seed: int) -> Batch:
    """Fit a batch of dark lenses with a Sersic source; also their true parameters."""
    generator = torch.Generator().manual_seed(seed)
    scene = LensScene()
    truth = {name: _draw(name, _NORMAL, generator) for name in scene.names}
    psf = lp.GaussianPSF(0.12, _PIXEL)
    clean = scene.image(truth, _pixels(psf))
    images = clean + _SIGMA * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    settings: dict[str, Any] = {"bounds": _FLAT, "priors": _NORMAL, "psf": psf}
    return lp.fit(images.float(), _SIGMA, pixel_scale=_PIXEL, **settings), truth


def fit_shapelets(seed: int) -> Batch:
    """Fit a batch of dark lenses with shapelets as their source, from the truth."""
    generator = torch.Generator().manual_seed(seed)
    psf = lp.GaussianPSF(0.12, _PIXEL)
    pixels = _pixels(psf)
    scene = LinearModel(source_order=_ORDER).scene(pixels)
    truth = {name: _draw(name, _SHAPELETS, generator) for name in scene.names}
    scale = _AMPLITUDE * _SIGMA / _PIXEL**2
    unit = torch.randn(_BATCH, scene.count, generator=generator, dtype=torch.float64)
    amplitudes = scale * unit / scene.roughness.diagonal().sqrt()
    clean = scene.parts({**truth, "source": amplitudes}, pixels)["source"]
    images = clean + _SIGMA * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    result = lp.fit(
        images.float(),
        _SIGMA,
        pixel_scale=_PIXEL,
        psf=psf,
        source="shapelets",
        source_order=_ORDER,
        start={name: value.float() for name, value in truth.items()},
        priors=_SHAPELETS,
        bounds={name: (mean - 6 * sd, mean + 6 * sd) for name, (mean, sd) in _SHAPELETS.items()},
    )
    # Chosen by the evidence in the fit, known here.
    assert isinstance(result.problem, LinearProblem)
    result.problem.strength[:] = scale**-2
    return result, truth


_SCENES: dict[str, Callable[[int], Batch]] = {"sersic": fit_sersic, "shapelets": fit_shapelets}


def _draw(
    name: str, normal: Mapping[str, tuple[float, float]], generator: torch.Generator
) -> Tensor:
    """Values ``(B,)`` from the prior of a parameter."""
    if name in normal:
        mean, sd = normal[name]
        return mean + sd * torch.randn(_BATCH, generator=generator, dtype=torch.float64)
    low, high = _FLAT[name]
    return low + (high - low) * torch.rand(_BATCH, generator=generator, dtype=torch.float64)


def _pixels(psf: lp.GaussianPSF) -> Pixels:
    x, y = lp.pixel_grid(_SIZE, _PIXEL, dtype=torch.float64)
    return Pixels(x, y, psf=psf)


def measure(kind: str, seed: int) -> dict[str, Any]:
    """Ranks of the truths of a batch by parameter, R-hat, and the time of a lens in seconds."""
    result, truth = _SCENES[kind](seed)
    begun = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        draws = lp.sample(result, _DRAWS, seed=seed)
    wall, busy = time.perf_counter() - begun[0], time.process_time() - begun[1]
    # Large where the search of a fit has ended in another minimum, about which the draws then lie.
    chi2 = result.residual.double().square().sum((1, 2))
    return {
        "seed": seed,
        "ranks": {name: (draws[name] < truth[name]).sum(0).tolist() for name in draws.rhat},
        "held": {name: _hold(draws[name], truth[name]).tolist() for name in draws.rhat},
        "rhat": draws.worst_rhat.tolist(),
        "ess": torch.stack(list(draws.ess.values())).amin(0).tolist(),
        "chi2": chi2.tolist(),
        "wall": wall / _BATCH,
        "busy": busy / _BATCH,
    }


def _hold(draws: Tensor, truth: Tensor) -> Tensor:
    low, high = (draws.double().quantile(q, 0) for q in (0.16, 0.84))
    return (low < truth) & (truth < high)


def deviate(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Largest deviation of the distribution of ranks ``(..., N)`` from that of uniform ones."""
    steps = np.arange(1, _DRAWS + 1) / (_DRAWS + 1)
    below = np.stack([(ranks < k).mean(-1) for k in range(1, _DRAWS + 1)], -1)
    found: NDArray[np.float64] = (np.abs(below - steps) / np.sqrt(steps * (1 - steps))).max(-1)
    return found


def show(batches: list[dict[str, Any]]) -> None:
    """Print the table."""
    lenses = sum(len(batch["rhat"]) for batch in batches)
    drawn = np.random.default_rng(0).integers(0, _DRAWS + 1, (2000, lenses))
    uniform = deviate(drawn)
    smallest: list[float] = []
    print(f"\n{lenses} lenses\n{'parameter':18} {'chi2':>6} {'ecdf':>6} {'68%':>6}")
    for name in batches[0]["ranks"]:
        ranks = np.concatenate([batch["ranks"][name] for batch in batches])
        counts = np.bincount(ranks * _BINS // (_DRAWS + 1), minlength=_BINS)
        by_bins = float(stats.chisquare(counts).pvalue)
        by_ecdf = float((uniform >= deviate(ranks)).mean())
        held = np.concatenate([batch["held"][name] for batch in batches]).mean()
        print(f"{name:18} {by_bins:6.3f} {by_ecdf:6.3f} {held:6.3f}")
        smallest += [by_bins, by_ecdf]
    worst = min(1.0, min(smallest) * len(smallest))
    rhat, ess, chi2 = (
        np.concatenate([batch[key] for batch in batches]) for key in ("rhat", "ess", "chi2")
    )
    wall, busy = (np.mean([batch[key] for batch in batches]) for key in ("wall", "busy"))
    print(
        f"smallest p-value times their number: {worst:.3f}\n"
        f"R-hat below 1.01 for {int((rhat < 1.01).sum())} of {lenses}, largest {rhat.max():.3f}\n"
        f"independent draws of the worst parameter: median {np.median(ess):.0f}, "
        f"least {ess.min():.0f}\n"
        f"chi^2 of a pixel: largest {chi2.max() / _SIZE**2:.2f}\n"
        f"seconds a lens: {wall:.2f}, of the processor {busy:.2f}"
    )


def main() -> None:
    """Measure the batches that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", choices=sorted(_SCENES), default="sersic")
    parser.add_argument("--lenses", type=int, default=240)
    parser.add_argument("--out", type=Path, help="kept batches; default: by the scene, here")
    given = parser.parse_args()
    out = given.out or Path(f"posterior_calibration_{given.scene}.json")
    batches: list[dict[str, Any]] = json.loads(out.read_text()) if out.exists() else []
    for seed in range(len(batches), -(-given.lenses // _BATCH)):
        batches.append(measure(given.scene, seed))
        part = out.with_name(out.name + ".part")
        part.write_text(json.dumps(batches))
        part.replace(out)
        done = batches[-1]
        print(
            f"batch {seed}: {done['wall']:.1f} s a lens, R-hat up to {max(done['rhat']):.3f}",
            flush=True,
        )
    show(batches)


if __name__ == "__main__":
    main()
