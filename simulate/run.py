"""Make a data set: shards in parallel, resumable after any kind of death."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from simulate.config import SimulateConfig
from simulate.errors import InputError
from simulate.folders import held
from simulate.images import attributes, make_images, make_renderers
from simulate.instruments import instrument
from simulate.presets import make_prior
from simulate.shards import (
    MANIFEST,
    SCHEMA_VERSION,
    read_manifest,
    sha256,
    write_shard,
    write_text,
)

#: Pixels rendered at once: on a CPU what stays in a core's cache, on a GPU what keeps it busy.
_BLOCK_PIXELS = {"cpu": 2**17, "cuda": 2**22}

#: Called with the number of images that have just been finished.
Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Shard:
    """Images ``start`` to ``stop - 1`` of a data set."""

    number: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"shard-{self.number:05d}.h5"


def default_out(config: SimulateConfig) -> Path:
    """The folder of a data set where none is given: ``data/model2``, ``data/model2-physical``."""
    suffix = "" if config.preset == "published" else f"-{config.preset}"
    return config.out or Path("data") / f"model{config.model}{suffix}"


def resolve(config: SimulateConfig) -> SimulateConfig:
    """The configuration with ``auto`` replaced by what this machine has.

    Raises:
        InputError: for an unknown instrument, pixels that ``pairs`` does not divide, or a CUDA
            device that is not there.
    """
    import torch

    camera = instrument(config.instrument)
    if config.pairs:
        camera.coarser(config.pairs)
    if config.exposure_log10 is None and camera.total_exposure is None:
        raise InputError(f"instrument '{config.instrument}' needs exposure_log10: [low, high]")
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise InputError("--device cuda: there is no CUDA device here; use --device cpu")
    if config.backend == "lenstronomy" and config.device == "cuda":
        raise InputError("the lenstronomy backend runs on the CPU; use --device cpu")
    device = config.device
    if device == "auto":
        device = "cuda" if available and config.backend == "torch" else "cpu"
    return config.model_copy(update={"device": device})


def simulate(
    config: SimulateConfig, progress: Callable[[int, int], Progress] | None = None
) -> tuple[Path, bool]:
    """Make a data set, or what is missing of it.

    Args:
        config: what to make.
        progress: called with the number of images in all and of those already there; returns what
            to call with each number of images finished.

    Returns:
        The folder, and whether anything had to be made.

    Raises:
        InputError: for a configuration that makes no sense, a folder that holds something else or
            that cannot be written to.
    """
    config = resolve(config)
    make_prior(config)
    out = default_out(config)
    shards = [
        Shard(number, start, min(start + config.shard_size, config.n))
        for number, start in enumerate(range(0, config.n, config.shard_size))
    ]
    with held(out):
        manifest = _open_manifest(out, config)
        done = {entry["file"]: entry for entry in manifest["shards"] if _intact(out, entry)}
        todo = [shard for shard in shards if shard.file not in done]
        missing = sum(shard.stop - shard.start for shard in todo)
        report = progress(config.n, config.n - missing) if progress else _silent
        if not todo and manifest["complete"] and (out / "preview.png").is_file():
            return out, False

        for shard, digest in _work(config, out, todo):
            done[shard.file] = {"file": shard.file, "n": shard.stop - shard.start, "sha256": digest}
            manifest["shards"] = [done[key] for key in sorted(done)]
            manifest["complete"] = False
            _write_manifest(out, manifest)
            report(shard.stop - shard.start)

        from simulate.preview import write_preview

        write_preview(out, shards[0].file)
        manifest["complete"] = True
        _write_manifest(out, manifest)
    return out, True


def _silent(count: int) -> None:
    """No progress bar."""


def make_shard(config: SimulateConfig, out: Path, shard: Shard) -> str:
    """Render one shard and write it; returns its SHA-256."""
    prior, renderers = make_prior(config), make_renderers(config)
    size = max(1, _BLOCK_PIXELS[config.device] // renderers[0][0].n_pix ** 2)
    scenes, images = [], []
    # Blocks are aligned to the image number and always whole, so that neither the size of a shard
    # nor the number of images can change the rounding of a pixel.
    for block in range(shard.start - shard.start % size, shard.stop, size):
        scene, block_images = make_images(config, prior, renderers, block, block + size)
        inside = slice(max(shard.start - block, 0), min(shard.stop - block, size))
        scenes.append({name: values[inside] for name, values in scene.params.items()})
        scenes[-1]["label"] = scene.label[inside]
        images.append([values[inside] for values in block_images])
    params = {name: np.concatenate([s[name] for s in scenes]) for name in scenes[0]}
    columns = {"image": np.concatenate([part[0] for part in images]), "label": params.pop("label")}
    if config.pairs:
        columns["image_lr"] = np.concatenate([part[1] for part in images])
    path = out / shard.file
    write_shard(path, columns, params, attributes(config, prior, renderers))
    return sha256(path)


def _work(config: SimulateConfig, out: Path, todo: list[Shard]) -> Iterator[tuple[Shard, str]]:
    workers = min(config.workers or len(os.sched_getaffinity(0)), len(todo))
    if workers <= 1 or config.device == "cuda":
        with _one_thread():
            for shard in todo:
                yield shard, make_shard(config, out, shard)
        return
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (os.getpid(),)
    )
    try:
        futures = {pool.submit(make_shard, config, out, shard): shard for shard in todo}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except concurrent.futures.BrokenExecutor:
        raise InputError(
            "a worker process died (out of memory?); run the same command again to go on, "
            "with fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread, as in a worker, so that every way of running rounds alike."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start_worker(parent: int) -> None:
    """Set up a worker process: one thread, deaf to Ctrl-C, gone when its parent is."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _open_manifest(out: Path, config: SimulateConfig) -> dict[str, Any]:
    if (out / MANIFEST).exists():
        manifest = read_manifest(out)
        _check_same(manifest["config"], config.identity(), out)
        return manifest
    if any(out.iterdir()):
        raise InputError(f"{out} holds other files; choose an empty folder with --out")
    return _new_manifest(out, config)


def _new_manifest(out: Path, config: SimulateConfig) -> dict[str, Any]:
    names = config.classes
    labels = {name: len(range(i, config.n, len(names))) for i, name in enumerate(names)}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "complete": False,
        "n": config.n,
        "seed": config.seed,
        "label_names": list(names),
        "counts": labels,
        "config": config.identity(),
        "shards": [],
    }
    _write_manifest(out, manifest)
    return manifest


def _check_same(old: Any, new: Any, out: Path, key: str = "") -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{key}.{name}" if key else name
            _check_same(old.get(name), new.get(name), out, inner)
    elif old != new:
        raise InputError(
            f"{out} holds a data set with {key} = {old}, not {new}; choose another --out or "
            "delete the folder"
        )


def _intact(out: Path, entry: dict[str, Any]) -> bool:
    path = out / entry["file"]
    return path.is_file() and sha256(path) == str(entry["sha256"])


def _write_manifest(out: Path, manifest: dict[str, Any]) -> None:
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
