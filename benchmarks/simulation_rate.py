"""Images a second of `simulate`, to disk, against lenstronomy and against DeepLenseSim.

    python benchmarks/simulation_rate.py [--n 20000] [--workers 1] [--deeplensesim DIR]

Model 2, the three classes in equal parts, everything with the same number of processes. Our rates
include all that the command does: start of the processes, checksums, manifest and preview. The
writing is also timed apart, and the peak memory of two sizes of a data set is compared.
lenstronomy is timed as `--backend lenstronomy`, which traces several planes as DeepLenseSim does,
and at its fastest: one plane, models built once, no writing and no noise. DeepLenseSim is timed
where its folder is given (https://github.com/mwt5345/DeepLenseSim; it also needs pyHalo for a
cosmology, for which a stand-in with the same numbers is enough); its images are written as .npy, as
its own scripts do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
import types
from pathlib import Path

from simulate import run
from simulate.presets import load_simulate_config, make_prior
from simulate.run import simulate


def ours(preset: str, backend: str, n: int, workers: int, device: str, model: int = 2) -> float:
    """Images a second of our own pipeline, to disk, after a first small run has warmed up."""
    seconds = 0.0
    for size in (workers * 64, n):
        with tempfile.TemporaryDirectory() as folder:
            config = load_simulate_config(
                model,
                preset,
                n=size,
                backend=backend,
                workers=workers,
                device=device,
                out=Path(folder) / "data",
            )
            start = time.perf_counter()
            simulate(config)
            seconds = time.perf_counter() - start
    return n / seconds


def share_of_physical(model: int, n: int, workers: int, device: str) -> list[float]:
    """Rate of the preset ``realistic`` over that of ``physical``, in three rounds of both."""
    rounds = []
    for _ in range(3):
        physical, realistic = (
            ours(preset, "torch", n, workers, device, model) for preset in ("physical", "realistic")
        )
        rounds.append(realistic / physical)
    return rounds


def single_plane(n: int, workers: int) -> float:
    """Images a second of lenstronomy at its fastest: one plane, models built once, in memory."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.map(_single_plane_part, [6] * workers)  # imports and warm-up
        seconds = pool.map(_single_plane_part, [n // workers] * workers)
    return n // workers * workers / max(seconds)


def _single_plane_part(n: int) -> float:
    from simulate.backends.lenstronomy import LenstronomyRenderer
    from simulate.instruments import instrument

    config = load_simulate_config(2)
    renderer = LenstronomyRenderer(instrument(config.instrument))
    scene = make_prior(config).draw(0, n)
    renderer.render(scene.select(scene.index[:3]))
    start = time.perf_counter()
    renderer.render(scene)
    return time.perf_counter() - start


def writing_share(n: int) -> float:
    """The part of the time of one process that writing shards takes, checksums included."""
    spent = 0.0
    write = run.write_shard

    def time_call(*arguments: object) -> str:
        nonlocal spent
        start = time.perf_counter()
        digest = write(*arguments)  # type: ignore[arg-type]
        spent += time.perf_counter() - start
        return digest

    run.write_shard = time_call  # type: ignore[assignment]
    try:
        rate = ours("published", "torch", n, 1, "cpu")
        return spent / (n / rate)
    finally:
        run.write_shard = write


def peak_memory(n: int) -> float:
    """Peak resident memory of a process that makes ``n`` images, MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (n,))


def _peak_memory(n: int) -> float:
    ours("published", "torch", n, 1, "cpu")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def deeplensesim(folder: Path, n: int, workers: int) -> float:
    """Images a second of DeepLenseSim's own classes, saved as .npy."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        pool.starmap(_deeplensesim_part, [(folder, 3)] * workers)  # imports and warm-up
        start = time.perf_counter()
        pool.starmap(_deeplensesim_part, [(folder, n // workers)] * workers)
        return n // workers * workers / (time.perf_counter() - start)


def _deeplensesim_part(folder: Path, n: int) -> None:
    import numpy as np
    from astropy.cosmology import FlatLambdaCDM

    def cdm(*args: object, **kwargs: object) -> object:
        cosmology = FlatLambdaCDM(H0=69.7, Om0=0.2814, Ob0=0.0464)
        return types.SimpleNamespace(astropy_instance=cosmology)

    presets = types.ModuleType("pyHalo.preset_models")
    presets.CDM = cdm  # type: ignore[attr-defined]
    sys.modules.setdefault("pyHalo", types.ModuleType("pyHalo"))
    sys.modules.setdefault("pyHalo.preset_models", presets)
    sys.path.insert(0, str(folder))
    from deeplense.lens import DeepLens  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as out:
        for i in range(n):
            lens = DeepLens(axion_mass=10 ** np.random.default_rng(i).uniform(-24, -22))
            lens.make_single_halo(1e12)
            if i % 3 == 0:
                lens.make_no_sub()
            elif i % 3 == 1:
                lens.make_old_cdm()
            else:
                lens.make_vortex(3e10)
            lens.set_instrument("Euclid")
            lens.make_source_light_mag()
            lens.simple_sim_2()
            np.save(f"{out}/{i}", lens.image_real)


def main() -> None:
    """Print a table of rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20000, help="images of the torch backend")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--deeplensesim", type=Path, help="a checkout of DeepLenseSim")
    arguments = parser.parse_args()
    n, workers, device = arguments.n, arguments.workers, arguments.device
    rates = {
        f"torch, published, {device}": ours("published", "torch", n, workers, device),
        f"torch, physical, {device}": ours("physical", "torch", n, workers, device),
        "lenstronomy, one plane, rendering alone": single_plane(n // 20, workers),
        "lenstronomy, as a backend": ours("published", "lenstronomy", n // 40, workers, "cpu"),
    }
    rates[f"torch, realistic, {device}"] = ours("realistic", "torch", n // 4, workers, device)
    if arguments.deeplensesim:
        rates["DeepLenseSim"] = deeplensesim(arguments.deeplensesim, n // 100, workers)
    fastest = next(iter(rates.values()))
    print(f"Model 2, three classes in equal parts, to disk, {workers} process(es)")
    for name, rate in rates.items():
        print(f"{name:42s} {rate:8.0f} images/s   1 / {fastest / rate:.1f}")
    for model in (1, 2, 3):
        parts = share_of_physical(model, n // (40 if model == 1 else 10), workers, device)
        shown = ", ".join(f"{part:.2f}" for part in parts)
        print(f"Model {model}: realistic is {shown} times as fast as physical, in three rounds")
    if device == "cpu":
        print(f"writing: {100 * writing_share(n // 2):.0f}% of the time of one process")
        sizes = [n // 4, n]
        memory = [peak_memory(size) for size in sizes]
        pairs = zip(sizes, memory, strict=True)
        print(
            "peak memory: " + ", ".join(f"{mib:.0f} MiB for {size} images" for size, mib in pairs)
        )


if __name__ == "__main__":
    main()
