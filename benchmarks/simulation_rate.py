"""Images a second of `simulate`, to disk, against lenstronomy and against DeepLenseSim.

    python benchmarks/simulation_rate.py [--n 20000] [--workers 1] [--deeplensesim DIR]

Model 2, the three classes in equal parts, everything with the same number of processes. The rates
include all that the command does: start of the processes, checksums, manifest and preview.
DeepLenseSim is timed where its folder is given (https://github.com/mwt5345/DeepLenseSim; it also
needs pyHalo for a cosmology, for which a stand-in with the same numbers is enough); its images are
written as .npy, as its own scripts do.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
import types
from pathlib import Path

from simulate.presets import load_simulate_config
from simulate.run import simulate


def ours(backend: str, n: int, workers: int) -> float:
    """Images a second of our own pipeline, to disk, after a first small run has warmed up."""
    seconds = 0.0
    for size in (workers * 64, n):
        with tempfile.TemporaryDirectory() as folder:
            config = load_simulate_config(
                2,
                n=size,
                backend=backend,
                workers=workers,
                device="cpu",
                out=Path(folder) / "data",
            )
            start = time.perf_counter()
            simulate(config)
            seconds = time.perf_counter() - start
    return n / seconds


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
    parser.add_argument("--deeplensesim", type=Path, help="a checkout of DeepLenseSim")
    arguments = parser.parse_args()
    workers = arguments.workers
    rates = {
        "simulate --backend torch": ours("torch", arguments.n, workers),
        "simulate --backend lenstronomy": ours("lenstronomy", arguments.n // 40, workers),
    }
    if arguments.deeplensesim:
        n = arguments.n // 100
        rates["DeepLenseSim"] = deeplensesim(arguments.deeplensesim, n, workers)
    fastest = rates["simulate --backend torch"]
    print(f"Model 2, three classes in equal parts, to disk, {workers} process(es)")
    for name, rate in rates.items():
        print(f"{name:32s} {rate:8.0f} images/s   torch is {fastest / rate:6.1f} times as fast")


if __name__ == "__main__":
    main()
