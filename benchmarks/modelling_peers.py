"""Model of a lens beside gigalens and autolens: a step, and the time to a finished model.

    python benchmarks/modelling_peers.py [--gigalens PYTHON] [--autolens PYTHON]
                                         [--lenses 1] [--limit 180] [--threads 2]

Each peer runs under the interpreter of an environment of its own that holds it (`pip install
gigalens`, `pip install autolens`; both need Python 3.12), ours under this one. Every code works in
a process of its own, on the same cores, and they take turns.

The lenses are simulated: SIE with shear, Sersic lens light, a source of two Sersics, 64 x 64 pixels
of 0.08 arcsec, a Gaussian PSF whose kernel is given to every code, peak signal to noise 60. All
codes fit an SIE with shear and a source of shapelets of order 10 (66 amplitudes), and solve for the
amplitudes at every step, with one ray a pixel. The lens light is a multi-Gaussian expansion, and in
gigalens, which has none, the Sersic profile that is true.

A *step* is the posterior with its gradient for a batch of models. Ours holds the Gauss-Newton
matrix too.

A *finished model* has a chi^2 within 5% of that of the true model with the same noise. Ours is a
cold start, with errors. The peers' is their descent from random starts (`MAP`; `MultiStartAdam`),
with priors about the truth, few starts (by default 4, of their 500 and 48) and at most as many
steps as they take by default, or as go into the limit. Neither their errors nor their pictures are
counted. Where no start arrives, the time is that of the whole descent, and the ratio a lower limit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from peer_models import (
    N_PIX,
    NEAR,
    ORDER,
    PIXEL_SCALE,
    Array,
    Code,
    Data,
    model_by_autolens,
    model_by_gigalens,
    seconds_of,
)
from turns import Timing

FWHM, PEAK_SNR = 0.12, 60.0


def simulate(lenses: int, seed: int) -> tuple[Data, Array, Array]:
    """Simulate lenses; also their Einstein radii, and the chi^2 of the true model per pixel."""
    import torch

    import lensphys as lp

    generator = torch.Generator().manual_seed(seed)

    def draw(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(lenses, generator=generator, dtype=torch.float64)

    offsets = (torch.arange(11, dtype=torch.float64) - 5) * PIXEL_SCALE
    profile = torch.exp(-4 * math.log(2) * (offsets / FWHM) ** 2)
    kernel = profile[:, None] * profile
    kernel = kernel / kernel.sum()
    center = {"center_x": draw(-0.04, 0.04), "center_y": draw(-0.04, 0.04)}
    place = draw(-0.15, 0.15), draw(-0.15, 0.15)
    radius = draw(0.9, 1.4)
    lens = lp.ThinLens(
        [
            lp.SIE(theta_E=radius, e1=draw(-0.15, 0.15), e2=draw(-0.15, 0.15), **center),
            lp.Shear(gamma1=draw(-0.05, 0.05), gamma2=draw(-0.05, 0.05)),
        ]
    )
    sizes = (0.15, 0.25, 60.0, 0.0), (0.06, 0.1, 60.0, 0.15)
    source = [
        lp.Sersic(
            amplitude=draw(amplitude, 1.5 * amplitude),
            R_sersic=draw(small, large),
            n_sersic=draw(0.8, 1.2),
            e1=draw(-0.2, 0.2),
            e2=draw(-0.2, 0.2),
            center_x=place[0] + draw(-apart, apart),
            center_y=place[1] + draw(-apart, apart),
        )
        for small, large, amplitude, apart in sizes
    ]
    light = lp.Sersic(
        amplitude=draw(20.0, 40.0),
        R_sersic=draw(0.5, 0.8),
        n_sersic=draw(1.0, 1.5),
        e1=draw(-0.1, 0.1),
        e2=draw(-0.1, 0.1),
        **center,
    )
    x, y = lp.pixel_grid(N_PIX, PIXEL_SCALE, dtype=torch.float64)
    psf = lp.PixelPSF(kernel=kernel, pixel_scale=PIXEL_SCALE)
    clean = lp.render(lens, source, x, y, psf=psf, lens_light=light).reshape(lenses, N_PIX, N_PIX)
    sigma = clean.amax((1, 2)) / PEAK_SNR
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    images = clean + noise * sigma[:, None, None]
    floor = noise.square().mean((1, 2))
    return Data(images.numpy(), sigma.numpy(), kernel.numpy()), radius.numpy(), floor.numpy()


def model_by_lensphys(data: Data, batch: int, floor: Array, threads: int) -> Code:
    """Cold starts of ours; a step is that of the first lens, as often as the batch is large."""
    import torch

    import lensphys as lp
    from lensphys.threads import side_by_side

    torch.set_num_threads(threads)
    kind: dict[str, Any] = {
        "pixel_scale": PIXEL_SCALE,
        "psf": data.kernel,
        "lens_light": "mge",
        "source": "shapelets",
        "source_order": ORDER,
    }
    fitter = lp.Fitter(**kind)
    images = torch.as_tensor(data.images, dtype=torch.float32)
    sigma = torch.as_tensor(data.sigma, dtype=torch.float32)
    found = fitter(images[0], sigma[0])  # compiles loops, too
    many = images[:1].expand(batch, -1, -1), sigma[:1].expand(batch)
    start = {name: value.expand(batch) for name, value in found.params.items()}
    problem = lp.Fitter(**kind, max_steps=0)(*many, start=start).problem
    index = torch.arange(batch)
    table = torch.stack([start[name] for name in problem.scene.names], 1)
    z = problem.bounds.inverse(table, index)

    def step() -> None:
        with torch.no_grad(), side_by_side():
            problem.equations(z, index)

    def fit(lens: int, limit: float) -> dict[str, float]:
        begin = time.perf_counter()
        result = fitter(images[lens], sigma[lens])
        seconds = time.perf_counter() - begin
        chi2 = result.residual.double().square().mean().item()
        radius = result.params["theta_E"].item()
        return {
            "seconds": seconds,
            "arrived": seconds if chi2 < NEAR * floor[lens] else math.inf,
            "chi2": chi2,
            "theta_E": radius,
            "steps": result.steps.item(),
        }

    return Code(batch, step, fit)


def serve(name: str, path: Path, batch: int, threads: int) -> None:
    """Carry out the commands of standard input, a line each; answer in JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # peers print
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with np.load(path) as stored:
        data = Data(stored["images"], stored["sigma"], stored["kernel"])
        floor = stored["floor"]
    if name == "lensphys":
        code = model_by_lensphys(data, batch, floor, threads)
    else:
        make = {"gigalens": model_by_gigalens, "autolens": model_by_autolens}[name]
        code = make(data, batch, floor)
    code.step()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "step":
            answer = {"seconds": seconds_of(code.step) / code.models}
        else:
            answer = code.fit(command["lens"], command["limit"])
        print(json.dumps(answer), file=answers, flush=True)


class Process:
    """Another process that runs :func:`serve` with the code of this name."""

    def __init__(self, name: str, python: str, path: Path, options: argparse.Namespace) -> None:
        words = ["--serve", name, "--file", str(path)]
        words += ["--batch", str(options.batch), "--threads", str(options.threads)]
        self._name, self._log = name, path.with_name(f"{name}.log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, __file__, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(options.threads)},
                cwd=path.parent,
            )
        self._read()

    def ask(self, **command: object) -> dict[str, float]:
        """Send a command, and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} ended:\n{self._log.read_text()[-3000:]}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    data, radius, floor = simulate(options.lenses, options.seed)
    path = folder / "lenses.npz"
    np.savez(path, images=data.images, sigma=data.sigma, kernel=data.kernel, floor=floor)
    pythons = {"lensphys": sys.executable}
    pythons |= {k: v for k in ("gigalens", "autolens") if (v := getattr(options, k))}
    codes = {}
    print(f"{options.threads} threads, batches of {options.batch}")
    for name, python in pythons.items():
        begin = time.perf_counter()
        codes[name] = Process(name, python, path, options)
        print(f"{name}: loaded and compiled in {time.perf_counter() - begin:.0f} s", flush=True)
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(options.turns):
        for name, code in codes.items():
            taken[name].append(code.ask(do="step")["seconds"])
    timings = {name: Timing(seconds, math.nan) for name, seconds in taken.items()}
    print("\ncode       a step of one model   peer/ours (quartiles)")
    for name, timing in timings.items():
        ratio, low, high = timing.over(timings["lensphys"])
        print(
            f"{name:10s} {1e3 * timing.median:10.1f} ms        "
            f"{ratio:.1f} ({low:.1f} to {high:.1f})"
        )
    print("\ncode       lens  finished   chi^2/true  error of theta_E  steps   peer/ours")
    for lens in range(options.lenses):
        own = math.nan
        for name, code in codes.items():
            found = code.ask(do="fit", lens=lens, limit=options.limit)
            arrived = math.isfinite(found["arrived"])
            seconds = found["arrived"] if arrived else found["seconds"]
            own = seconds if name == "lensphys" else own
            print(
                f"{name:10s} {lens:4d} {' ' if arrived else '>'}{seconds:8.1f} s "
                f"{found['chi2'] / floor[lens]:10.3f} "
                f"{100 * (found['theta_E'] / radius[lens] - 1):13.2f}%   "
                f"{found['steps']:7.0f}   {'' if arrived else '>'}{seconds / own:.0f}",
                flush=True,
            )
    for code in codes.values():
        code.end()


def main() -> None:
    """Read the options, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigalens", help="interpreter of an environment with gigalens")
    parser.add_argument("--autolens", help="interpreter of an environment with autolens")
    parser.add_argument("--lenses", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4, help="models of a step; starts of peers")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds of a peer's descent")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.file, options.batch, options.threads)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


if __name__ == "__main__":
    main()
