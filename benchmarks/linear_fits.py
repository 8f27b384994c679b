"""Fits whose amplitudes are solved for beside fully non-linear ones: lenses/s and ms a step.

    python benchmarks/linear_fits.py [--n 16] [--threads 1] [--large 1]

Simulated lenses: SIE with shear, a Sersic source, peak signal to noise 60, a kernel of 15 x 15
pixels as the PSF; "lit" ones have a Sersic lens light. Starts are complete and scatter about the
truth by 1%; fits take 25 steps at most.

- *sersic*: dark lenses, a Sersic source, all 14 parameters non-linear.
- *shapelets*: the same lenses, a source of shapelets of order 10 (66 amplitudes).
- *mge + shapelets*: lit lenses, multi-Gaussian lens light besides (21 amplitudes).
- *large*: one lit lens of 201 x 201 pixels from a cold start, as the command `model` fits it.

A step is one evaluation of the objective with its gradient and normal matrix, at the start. Seconds
are those that the processors worked (of all threads together), which other programs disturb less
than those of a clock; the best of three runs counts.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lensphys as lp

N_PIX, PIXEL_SCALE, PEAK_SNR, STEPS = 64, 0.05, 60.0, 25
SHAPELETS = {"source": "shapelets", "source_order": 10}


def make_psf() -> lp.PixelPSF:
    """Make a kernel with a core and a wing."""
    offset = torch.arange(-7, 8).double()
    r2 = offset[:, None] ** 2 + offset**2
    kernel = torch.exp(-r2 / 2.4) + 0.02 * torch.exp(-r2 / 18)
    return lp.PixelPSF(kernel, pixel_scale=PIXEL_SCALE, normalise=True)


def make_lenses(n: int, size: int, *, lit: bool) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Make the true parameters of lenses, their noisy images, and the noise ``(n,)``."""
    generator = torch.Generator().manual_seed(1)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    truth = {
        "theta_E": draw(0.8, 1.1),
        **{name: draw(-0.15, 0.15) for name in ("e1", "e2")},
        **{name: draw(-0.03, 0.03) for name in ("center_x", "center_y")},
        **{name: draw(-0.05, 0.05) for name in ("gamma1", "gamma2")},
        **{f"source_center_{axis}": draw(-0.12, 0.12) for axis in "xy"},
    }
    mass = {k: truth[k] for k in ("theta_E", "e1", "e2", "center_x", "center_y")}
    lens = lp.ThinLens([lp.SIE(**mass), lp.Shear(gamma1=truth["gamma1"], gamma2=truth["gamma2"])])
    place = {f"center_{axis}": truth[f"source_center_{axis}"] for axis in "xy"}
    source = lp.Sersic(amplitude=20.0, R_sersic=0.12, n_sersic=1.0, **place)
    center = {k: truth[k] for k in ("center_x", "center_y")}
    light = lp.Sersic(amplitude=20.0, R_sersic=0.8, n_sersic=4.0, e1=0.1, e2=0.05, **center)
    x, y = lp.pixel_grid(size, PIXEL_SCALE)
    clean = lp.render(lens, source, x, y, psf=make_psf(), lens_light=light if lit else None)
    sigma = clean.amax((1, 2)) / PEAK_SNR
    noise = torch.randn(clean.shape, generator=generator) * sigma[:, None, None]
    return truth, clean + noise, sigma


def scatter(truth: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Scatter the truth, and add parameters that a kind of scene has besides."""
    generator = torch.Generator().manual_seed(2)
    like = truth["theta_E"]
    flat: dict[str, float] = {"source_beta": 0.08}
    if kind == "sersic":
        flat = {"source_amplitude": 20.0, "source_R_sersic": 0.12, "source_n_sersic": 1.0}
        flat |= {"source_e1": 0.0, "source_e2": 0.0}
    if kind.startswith("mge"):
        flat |= {f"lens_light_{k}": 0.0 for k in ("center_x", "center_y")}
        flat |= {"lens_light_e1": 0.1, "lens_light_e2": 0.05}
        flat |= {"lens_light_outer_e1": 0.1, "lens_light_outer_e2": 0.05}
    start = truth | {name: torch.full_like(like, value) for name, value in flat.items()}
    return {
        name: value
        + 0.01 * value.abs().clamp_min(0.1) * torch.randn(len(like), generator=generator)
        for name, value in start.items()
    }


def time_best(call: Callable[[], Any], runs: int = 3) -> tuple[Any, float]:
    """Return the result of a call, and the fewest seconds of work of some runs."""
    best = float("inf")
    for _ in range(runs):
        begin = time.process_time()
        result = call()
        best = min(best, time.process_time() - begin)
    return result, best


def measure(kind: str, n: int) -> str:
    """Fit lenses from complete starts; a row of the table."""
    truth, images, sigma = make_lenses(n, N_PIX, lit=kind.startswith("mge"))
    options: dict[str, Any] = {} if kind == "sersic" else dict(SHAPELETS)
    if kind.startswith("mge"):
        options["lens_light"] = "mge"
    fitter = lp.Fitter(pixel_scale=PIXEL_SCALE, psf=make_psf(), max_steps=STEPS, **options)
    start = scatter(truth, kind)
    result, seconds = time_best(lambda: fitter(images, sigma, start=start))
    problem, index = result.problem, torch.arange(n)
    values = torch.stack([start[name] for name in problem.scene.names], 1)
    with torch.no_grad():
        z = problem.bounds.inverse(values, index)
        _, step = time_best(lambda: problem.equations(z, index))
    error = (result.params["theta_E"] / truth["theta_E"] - 1).abs().median()
    return (
        f"| {kind} | {n / seconds:.1f} | {1e3 * step / n:.2f} | "
        f"{result.steps.double().mean():.1f} | {result.chi2_dof.median():.3f} | {error:.1e} |"
    )


def measure_large(n: int) -> str:
    """Fit large lenses from a cold start, one at a time; a sentence."""
    _, images, sigma = make_lenses(n, 201, lit=True)
    fitter = lp.Fitter(
        pixel_scale=PIXEL_SCALE, psf=make_psf(), lens_light="mge", source="shapelets", sky=True
    )
    begin, clock = time.process_time(), time.perf_counter()
    chi2 = [fitter(images[k][None], sigma[k][None]).chi2_dof.item() for k in range(n)]
    work, wall = (
        now - then
        for now, then in zip(
            (time.process_time(), time.perf_counter()), (begin, clock), strict=True
        )
    )
    return (
        f"Large, cold: {work / n:.1f} s of work a lens, {wall / n:.1f} s by the clock, "
        f"chi^2/dof {min(chi2):.3f} to {max(chi2):.3f}."
    )


def main() -> None:
    """Run all fits and print their table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=int, default=1, help="lenses of 201 x 201 pixels")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    print(f"{args.n} lenses of {N_PIX} x {N_PIX} pixels, {args.threads} threads\n")
    print(
        "| scene | lenses per second of work | ms a step and lens | steps | median chi^2/dof |"
        " median error of theta_E |\n|---|---|---|---|---|---|"
    )
    for kind in ("sersic", "shapelets", "mge + shapelets"):
        print(measure(kind, args.n), flush=True)
    if args.large:
        print(f"\n{measure_large(args.large)}")


if __name__ == "__main__":
    main()
