"""Time to render lensed sources, and to differentiate that, beside caustics and lenstronomy.

    pip install caustics
    python benchmarks/rendering.py [--batch 64] [--threads 2] [--rounds 30]

SIE + external shear + Sersic source + Gaussian PSF, 64 x 64 pixels, float32 (lenstronomy: float64),
without and with 100 point masses. Each package runs in a process of its own, as it would alone, in
turn with the others, round by round, with the same number of threads; lenstronomy, which has none,
in as many processes. A turn is a row of calls. Figures are medians over the rounds, and the median,
10% and 90% of the ratios within a round. A last table splits the time of lensphys into parts, and
gives the time to move the maps alone.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable

# Idle threads sleep: spinning, they take half of a core that two hardware threads share. For all
# packages alike, and before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor

import lensphys as lp

N_PIX, PIXEL_SCALE, FWHM = 64, 0.08, 0.08
N_MASSES = 100
#: Calls of a turn.
_ROW = 5

Params = dict[str, Tensor]
Cases = dict[str, Callable[[], object]]


def draw_parameters(batch: int) -> Params:
    """Draw parameters (B,) of lenses, and (B, K) of their point masses."""
    generator = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator)

    return {
        "theta_E": uniform(0.7, 1.5),
        "e1": uniform(-0.2, 0.2),
        "e2": uniform(-0.2, 0.2),
        "gamma1": uniform(-0.08, 0.08),
        "gamma2": uniform(-0.08, 0.08),
        "amplitude": uniform(20, 50),
        "R_sersic": uniform(0.1, 0.35),
        "n_sersic": uniform(0.8, 2.0),
        "source_e1": uniform(-0.2, 0.2),
        "source_e2": uniform(-0.2, 0.2),
        "source_x": uniform(-0.3, 0.3),
        "source_y": uniform(-0.3, 0.3),
        "mass_theta_E": uniform(0.005, 0.02, N_MASSES),
        "mass_x": uniform(-2, 2, N_MASSES),
        "mass_y": uniform(-2, 2, N_MASSES),
    }


def make_lensphys_render(masses: bool) -> Callable[[Params], Tensor]:
    """Make the function that renders a batch of parameters by lensphys."""
    psf = lp.GaussianPSF(fwhm=FWHM, pixel_scale=PIXEL_SCALE)
    layer = lp.Render(pixel_scale=PIXEL_SCALE, shape=N_PIX, psf=psf)

    def render(p: Params) -> Tensor:
        deflectors: list[lp.MassProfile | lp.Population] = [
            lp.SIE(theta_E=p["theta_E"], e1=p["e1"], e2=p["e2"]),
            lp.Shear(gamma1=p["gamma1"], gamma2=p["gamma2"]),
        ]
        if masses:
            points = lp.PointMass(
                theta_E=p["mass_theta_E"], center_x=p["mass_x"], center_y=p["mass_y"]
            )
            deflectors.append(lp.Population(points))
        source = lp.Sersic(
            amplitude=p["amplitude"],
            R_sersic=p["R_sersic"],
            n_sersic=p["n_sersic"],
            e1=p["source_e1"],
            e2=p["source_e2"],
            center_x=p["source_x"],
            center_y=p["source_y"],
        )
        return layer(lp.ThinLens(deflectors), source)

    return render


def make_caustics_render(p: Params) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Make the simulator of caustics under vmap, and its table of parameters."""
    import caustics

    cosmology = caustics.FlatLambdaCDM(name="cosmology")
    sie = caustics.SIE(cosmology=cosmology, name="sie", x0=0.0, y0=0.0)
    shear = caustics.ExternalShear(cosmology=cosmology, name="shear", x0=0.0, y0=0.0)
    lens = caustics.SinglePlane(
        cosmology=cosmology, lenses=[sie, shear], name="lens", z_l=0.5, z_s=1.0
    )
    source = caustics.Sersic(name="source")
    kernel = lp.GaussianPSF(fwhm=FWHM, pixel_scale=PIXEL_SCALE).kernel().float()
    simulator = caustics.LensSource(
        lens=lens,
        source=source,
        pixelscale=PIXEL_SCALE,
        pixels_x=N_PIX,
        psf=torch.outer(kernel, kernel),
    )
    simulator.to(dtype=torch.float32)

    def axis_ratio(e1: Tensor, e2: Tensor) -> tuple[Tensor, Tensor]:
        e = torch.hypot(e1, e2)
        return (1 - e) / (1 + e), 0.5 * torch.atan2(e2, e1)

    q, phi = axis_ratio(p["e1"], p["e2"])
    source_q, source_phi = axis_ratio(p["source_e1"], p["source_e2"])
    columns = {
        ("sie", "q"): q,
        ("sie", "phi"): phi,
        ("sie", "Rein"): p["theta_E"],
        ("shear", "gamma_1"): p["gamma1"],
        ("shear", "gamma_2"): p["gamma2"],
        ("source", "x0"): p["source_x"],
        ("source", "y0"): p["source_y"],
        ("source", "q"): source_q,
        ("source", "phi"): source_phi,
        ("source", "n"): p["n_sersic"],
        ("source", "Re"): p["R_sersic"],
        ("source", "Ie"): p["amplitude"] * PIXEL_SCALE**2,
    }
    order = [(next(iter(d.parents)).name, d.name) for d in simulator.dynamic_params]
    return torch.vmap(simulator), torch.stack([columns[key] for key in order], 1)


@functools.cache
def _make_lenstronomy_model(masses: bool):  # type: ignore[no-untyped-def]
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    corner = -(N_PIX - 1) / 2 * PIXEL_SCALE
    data = ImageData(
        image_data=np.zeros((N_PIX, N_PIX)),
        ra_at_xy_0=corner,
        dec_at_xy_0=corner,
        transform_pix2angle=np.eye(2) * PIXEL_SCALE,
    )
    psf = PSF(psf_type="GAUSSIAN", fwhm=FWHM, pixel_size=PIXEL_SCALE)
    lenses = ["SIE", "SHEAR"] + ["POINT_MASS"] * (N_MASSES if masses else 0)
    source = LightModel(["SERSIC_ELLIPSE"])
    return ImageModel(data, psf, LensModel(lenses), source_model_class=source)


def render_by_lenstronomy(masses: bool, rows: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """Render by lenstronomy, one image after the other; the model is made once."""
    model = _make_lenstronomy_model(masses)
    images = []
    for p in rows:
        centre = {"center_x": 0.0, "center_y": 0.0}
        lens = [
            {"theta_E": p["theta_E"], "e1": p["e1"], "e2": p["e2"], **centre},
            {"gamma1": p["gamma1"], "gamma2": p["gamma2"]},
        ]
        if masses:
            points = zip(p["mass_theta_E"], p["mass_x"], p["mass_y"], strict=True)
            lens += [{"theta_E": t, "center_x": x, "center_y": y} for t, x, y in points]
        source = {
            "amp": p["amplitude"],
            "R_sersic": p["R_sersic"],
            "n_sersic": p["n_sersic"],
            "e1": p["source_e1"],
            "e2": p["source_e2"],
            "center_x": p["source_x"],
            "center_y": p["source_y"],
        }
        images.append(model.image(lens, [source]))
    return images


class Package:
    """A package in a process of its own, which times its cases.

    Args:
        make: function that builds its cases, by name, from the parameters.
        batch, threads: number of images and of threads.
    """

    def __init__(self, make: Callable[[Params], Cases], batch: int, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(make, batch, threads, theirs))
        self._process.start()

    def seconds(self, case: str) -> float:
        """Time one turn of a case, when the idle threads of the others have gone to sleep."""
        time.sleep(0.05)
        self._pipe.send((case, False))
        return self._pipe.recv()

    def images(self, case: str) -> np.ndarray:
        """Return the result of one run of a case."""
        self._pipe.send((case, True))
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.send((None, False))
        self._process.join()


def _serve(make, batch, threads, pipe) -> None:  # type: ignore[no-untyped-def]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    cases = make(draw_parameters(batch))
    while (request := pipe.recv())[0] is not None:
        case, wanted = request
        pipe.send(cases[case]().numpy() if wanted else time_turn(cases[case]))


def make_lensphys_cases(p: Params) -> Cases:
    """Make the cases of lensphys."""
    plain, substructure = make_lensphys_render(False), make_lensphys_render(True)
    leaves = {name: v.clone().requires_grad_() for name, v in p.items() if "mass" not in name}
    return {
        "forward": torch.no_grad()(lambda: plain(p)),
        "masses": torch.no_grad()(lambda: substructure(p)),
        "backward": lambda: torch.autograd.grad(
            plain(leaves).square().sum(), tuple(leaves.values())
        ),
    }


def make_caustics_cases(p: Params) -> Cases:
    """Make the cases of caustics."""
    render, table = make_caustics_render(p)
    leaf = table.clone().requires_grad_()
    return {
        "forward": torch.no_grad()(lambda: render(table)),
        "backward": lambda: torch.autograd.grad(render(leaf).square().sum(), leaf),
    }


def time_turn(run: Callable[[], object]) -> float:
    """Time a call in a row of calls: threads awake, caches warm, as in a user's loop."""
    run()
    start = time.perf_counter()
    for _ in range(_ROW):
        run()
    return (time.perf_counter() - start) / _ROW


def time_in_turns(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Time every case in every round, after two rounds of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 2):
        for name, run in cases.items():
            taken = run()
            if turn >= 2:
                seconds[name].append(taken)
    return seconds


def make_timer(run: Callable[[], object]) -> Callable[[], float]:
    """Make a function that times a turn in this process."""

    def seconds() -> float:
        time.sleep(0.05)
        return time_turn(run)

    return seconds


def report(title: str, seconds: dict[str, list[float]], batch: int) -> None:
    """Print one Markdown table, of which the first case is lensphys."""
    ours, *others = seconds
    print(f"\n{title}\n\n| | ms | images/s | lensphys is faster by |\n|---|---|---|---|")
    for name in (ours, *others):
        median = statistics.median(seconds[name])
        faster = ""
        if name != ours:
            pairs = zip(seconds[name], seconds[ours], strict=True)
            low, middle, high = np.quantile([a / b for a, b in pairs], [0.1, 0.5, 0.9])
            faster = f"{middle:.1f} ({low:.1f} to {high:.1f})"
        print(f"| {name} | {median * 1e3:.1f} | {batch / median:.0f} | {faster} |")


def report_parts(p: Params, rounds: int) -> None:
    """Print the time of each part of the forward render, and the limit that memory sets.

    Nine maps of the size of the images have to be written, and most of them read once: deflection,
    rays, brightness, and the image before and after the PSF.
    """
    render = make_lensphys_render(False)
    x, y = lp.pixel_grid(N_PIX, PIXEL_SCALE)
    sie = lp.SIE(theta_E=p["theta_E"], e1=p["e1"], e2=p["e2"])
    lens = lp.ThinLens([sie, lp.Shear(gamma1=p["gamma1"], gamma2=p["gamma2"])])
    names = ("amplitude", "R_sersic", "n_sersic")
    source = lp.Sersic(**{name: p[name] for name in names}, e1=p["source_e1"], e2=p["source_e2"])
    psf = lp.GaussianPSF(fwhm=FWHM, pixel_scale=PIXEL_SCALE)
    beta = lens.ray_trace(x, y)
    brightness = source.surface_brightness(*beta)
    out = torch.empty_like(brightness)
    seconds = time_in_turns(
        {
            "forward render": make_timer(lambda: render(p)),
            "rays": make_timer(lambda: lens.ray_trace(x, y)),
            "brightness": make_timer(lambda: source.surface_brightness(*beta)),
            "PSF": make_timer(lambda: psf.convolve(brightness)),
            "sum of two maps": make_timer(lambda: torch.add(*beta, out=out)),
        },
        rounds,
    )
    print("\n| part | ms |\n|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {statistics.median(each) * 1e3:.2f} |")
    addition = statistics.median(seconds["sum of two maps"])
    maps = 15  # nine written, six read
    print(f"| {maps} maps moved at the rate of that sum | {addition / 3 * maps * 1e3:.2f} |")


def main() -> None:
    """Run all comparisons and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=30)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)

    p = draw_parameters(args.batch)
    rows = [{name: v[i].double().numpy() for name, v in p.items()} for i in range(args.batch)]
    share = math.ceil(args.batch / args.threads)
    shares = [rows[i : i + share] for i in range(0, args.batch, share)]
    ours = Package(make_lensphys_cases, args.batch, args.threads)
    peer = Package(make_caustics_cases, args.batch, args.threads)
    with multiprocessing.get_context("spawn").Pool(args.threads) as pool:

        def theirs(masses: bool) -> np.ndarray:
            parts = pool.starmap(render_by_lenstronomy, [(masses, part) for part in shares])
            return np.stack([image for part in parts for image in part])

        for case, masses in (("forward", False), ("masses", True)):
            images, reference = ours.images(case), theirs(masses)
            error = np.abs(images - reference).max() / reference.max()
            print(f"largest difference from lenstronomy: {error:.1e} of the peak")
        images = ours.images("forward")
        error = np.abs(peer.images("forward") - images).max() / images.max()
        print(f"largest difference from caustics: {error:.1e} of the peak")

        tables = {
            f"Forward, batch {args.batch}, {args.threads} threads": {
                "lensphys": lambda: ours.seconds("forward"),
                "caustics, vmap": lambda: peer.seconds("forward"),
                "lenstronomy": make_timer(lambda: theirs(False)),
            },
            f"Forward with {N_MASSES} point masses": {
                "lensphys": lambda: ours.seconds("masses"),
                "lenstronomy": make_timer(lambda: theirs(True)),
            },
            "Forward and backward, all parameters": {
                "lensphys": lambda: ours.seconds("backward"),
                "caustics, vmap": lambda: peer.seconds("backward"),
            },
        }
        for title, cases in tables.items():
            report(title, time_in_turns(cases, args.rounds), args.batch)
    ours.close()
    peer.close()
    with torch.no_grad():
        report_parts(p, args.rounds)


if __name__ == "__main__":
    main()
