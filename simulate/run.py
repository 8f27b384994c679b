"""Make a data set: shards in parallel, resumable after any kind of death."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.files import settle, sha256
from lensphys.ground.locks import hold
from simulate.config import SimulateConfig
from simulate.instruments import coarser, instrument
from simulate.presets import make_prior
from simulate.room import check_room_in_memory, check_room_on_disk, workers_of
from simulate.shards import (
    MANIFEST,
    SCHEMA_VERSION,
    SOURCES,
    DamagedManifestError,
    is_shard_intact,
    manifest_text,
    read_manifest,
    write_manifest,
    write_shard,
)
from simulate.workers import Results, in_process, on_cluster, on_processes, reach

if TYPE_CHECKING:
    from lensphys.instruments import Instrument
    from simulate.backends import Renderer
    from simulate.scenes import Prior, Scene
    from simulate.sources.galaxies import GalaxyImages

# Modules that import torch are imported in the functions that render: the process that looks after
# the workers has no need of them.

#: Pixels rendered at once: enough that what a block costs beside its pixels is little.
_BLOCK_PIXELS = {"cpu": 2**18, "cuda": 2**22}

#: Images whose labels are counted at once.
_COUNTED = 2**20

#: Raised where a configuration asks for what cannot be computed; RuntimeError by torch.
_UNDRAWABLE = (ValueError, ArithmeticError, MemoryError, RuntimeError)

#: Images that are drawn to see what has to be compiled: some of each class.
_FIRST = 12

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

    On a cluster ``auto`` is the CPU, since the workers have other devices than this machine.

    Raises:
        InputError: for an unknown instrument, pixels that ``pairs`` does not divide, a CUDA
            device that is not there, or both ``workers`` and ``scheduler``.
    """
    if config.scheduler is not None and config.workers:
        raise InputError("give --workers or --scheduler, not both; a cluster has its own workers")

    camera = instrument(config.instrument)
    if config.pairs:
        coarser(camera, config.pairs)
    if config.exposure_log10 is None and camera.total_exposure is None:
        raise InputError(f"instrument '{config.instrument}' needs exposure_log10: [low, high]")
    return config.model_copy(update={"device": _device(config)})


def _device(config: SimulateConfig) -> str:
    if config.backend == "lenstronomy":
        if config.device == "cuda":
            raise InputError("the lenstronomy backend runs on the CPU; use --device cpu")
        return "cpu"
    if config.scheduler is not None:
        return "cpu" if config.device == "auto" else config.device
    return choose_device(config.device)


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
    if config.galaxies.path or config.scheduler is not None:
        _checked_prior(config)  # else the workers do, sooner than this process could
    if config.scheduler is not None:
        reach(config.scheduler)
    out = default_out(config)
    check_room_on_disk(config, out)
    shards = [
        Shard(number, start, min(start + config.shard_size, config.n))
        for number, start in enumerate(range(0, config.n, config.shard_size))
    ]
    with hold(out):
        manifest, begun = _open_manifest(out, config)
        if config.galaxies.path:
            from simulate.sources.store import store_galaxies

            store_galaxies(config.galaxies, out)
            manifest[SOURCES] = {"sha256": sha256(out / SOURCES)}
        names = {shard.file: shard.stop - shard.start for shard in shards}
        done = {
            entry["file"]: entry
            for entry in manifest["shards"]
            if names.get(entry["file"]) == entry["n"] and is_shard_intact(out, entry)
        }
        todo = [shard for shard in shards if shard.file not in done]
        if not todo and manifest["complete"] and _finished(out, manifest):
            return out, False

        report: Progress = _silent

        def start() -> None:
            nonlocal report
            if not begun:
                write_manifest(out, manifest)
            if progress:
                missing = sum(shard.stop - shard.start for shard in todo)
                report = progress(config.n, config.n - missing)

        # Closed before the folder is given back, whatever ends it: no worker writes after that.
        with _refused_leaves_nothing(out), closing(_work(config, out, todo, start)) as finished:
            for shard, digest in finished:
                count = shard.stop - shard.start
                done[shard.file] = {"file": shard.file, "n": count, "sha256": digest}
                manifest["shards"] = [done[key] for key in sorted(done)]
                manifest["complete"] = False
                write_manifest(out, manifest)
                report(count)

        from simulate.dataset.preview import write_preview

        manifest["shards"] = [done[shard.file] for shard in shards]
        write_manifest(out, manifest)
        write_preview(out)
        settle(out)  # before the manifest is marked complete
        manifest["complete"] = True
        write_manifest(out, manifest)
        settle(out)
    return out, True


@contextmanager
def _refused_leaves_nothing(out: Path) -> Iterator[None]:
    """Remove what a data set begins with where it is refused before it has an image."""
    try:
        yield
    except InputError:
        if not _begun(out):
            for name in (MANIFEST, SOURCES):
                (out / name).unlink(missing_ok=True)
        raise


def _silent(count: int) -> None:
    """No progress bar."""


def make_shard(config: SimulateConfig, out: Path, shard: Shard) -> str:
    """Render one shard and write it; returns its SHA-256."""
    from simulate.imaging import attributes, make_images

    prior, renderers, galaxies = _prepared(config, out)
    size = max(1, _BLOCK_PIXELS[config.device] // renderers[0][0].n_pix ** 2)
    scenes, images = [], []
    # Blocks are aligned to the image number and always whole, so that neither the size of a shard
    # nor the number of images can change the rounding of a pixel.
    for block in range(shard.start - shard.start % size, shard.stop, size):
        try:
            with np.errstate(all="ignore"):  # what is not finite is refused below
                scene, block_images = make_images(
                    config, prior, renderers, block, block + size, galaxies
                )
            _check_finite(scene, block_images)
        except _UNDRAWABLE as error:
            first = str(error).strip().partition("\n")[0]
            raise InputError(
                f"images {block} to {block + size - 1} cannot be drawn with this configuration: "
                f"{first or type(error).__name__}"
            ) from error
        inside = slice(max(shard.start - block, 0), min(shard.stop - block, size))
        scenes.append({name: values[inside] for name, values in scene.params.items()})
        scenes[-1]["label"] = scene.label[inside]
        images.append([values[inside] for values in block_images])
    params = {name: np.concatenate([s[name] for s in scenes]) for name in scenes[0]}
    columns = {"image": np.concatenate([part[0] for part in images]), "label": params.pop("label")}
    if config.pairs:
        columns["image_lr"] = np.concatenate([part[1] for part in images])
    return write_shard(out / shard.file, columns, params, attributes(config, prior, renderers))


def _check_finite(scene: Scene, images: list[NDArray[np.float32]]) -> None:
    """Refuse values that are beyond all numbers, as those of extreme configurations.

    Raises:
        ValueError: for one.
    """
    for name, values in scene.params.items():
        if bool(values.isinf().any()):
            raise ValueError(f"the column '{name}' becomes infinite")
    if not all(np.isfinite(values).all() for values in images):
        raise ValueError("pixels become infinite or NaN")


def _prepared(
    config: SimulateConfig, out: Path
) -> tuple[Prior, list[tuple[Instrument, Renderer]], GalaxyImages | None]:
    """Prior, renderers and galaxies, the same for all shards that a process makes."""
    galaxies = None
    if config.galaxies.path:
        from simulate.sources.store import read_stored_galaxies

        galaxies = read_stored_galaxies(out)
    return *_made(config, galaxies), galaxies


@functools.lru_cache(maxsize=1)
def _made(
    config: SimulateConfig, galaxies: GalaxyImages | None
) -> tuple[Prior, list[tuple[Instrument, Renderer]]]:
    from simulate.imaging import make_renderers

    return _checked_prior(config), make_renderers(config, galaxies)


def _checked_prior(config: SimulateConfig) -> Prior:
    """The prior of a configuration.

    Raises:
        InputError: for numbers too large or too small to compute with.
    """
    try:
        with np.errstate(all="ignore"):  # images are checked once they are drawn
            return make_prior(config)
    except _UNDRAWABLE as error:
        raise InputError(
            f"no lens can be drawn with this configuration: {error}; give less extreme numbers"
        ) from error


def _work(
    config: SimulateConfig, out: Path, todo: list[Shard], start: Callable[[], None]
) -> Results[Shard, str]:
    if config.scheduler is not None and todo:
        out = out.absolute()  # workers on other machines start elsewhere
        job = functools.partial(make_shard, config, out)
        start()
        return on_cluster(job, todo, config.scheduler, out)
    job = functools.partial(make_shard, config, out)
    prepare = functools.partial(_prepare, config, out, todo[0].start if todo else 0)
    workers = min(workers_of(config), len(todo))
    if todo:
        check_room_in_memory(config, workers)
    if todo and (workers == 1 or config.device == "cuda"):
        return in_process(job, todo, prepare, start)
    return on_processes(job, todo, workers, prepare, start)


def _prepare(config: SimulateConfig, out: Path, start: int) -> None:
    """Import and compile what all shards need, by drawing a few images that are thrown away."""
    from simulate.imaging import make_images

    prior, renderers, galaxies = _prepared(config, out)
    # make_shard refuses what cannot be drawn.
    with suppress(InputError, *_UNDRAWABLE), np.errstate(all="ignore"):
        make_images(config, prior, renderers, start, start + _FIRST, galaxies)


def _open_manifest(out: Path, config: SimulateConfig) -> tuple[dict[str, Any], bool]:
    """The manifest to go on with, and whether there are images of it already."""
    if (out / MANIFEST).exists() and not _begun(out):
        _check_ours(out)
    elif (out / MANIFEST).exists():
        manifest = _known_manifest(out, config)
        _check_same(manifest["config"], config.identity(), out)
        # Only what was made is taken from the file; the rest follows from the configuration.
        made = {name: manifest[name] for name in ("complete", "shards")}
        return _new_manifest(config) | made, True
    if any(path.name not in (MANIFEST, SOURCES) for path in out.iterdir()):
        raise InputError(f"{out} holds other files; choose an empty folder with --out")
    return _new_manifest(config), False


def _check_ours(out: Path) -> None:
    """Refuse a manifest that another program may have written: it would be replaced."""
    try:
        read_manifest(out)
    except DamagedManifestError:
        raise InputError(
            f"{out} holds a {MANIFEST} that is not one of this program; choose another --out or "
            "delete it"
        ) from None


def _begun(out: Path) -> bool:
    """True where a run has left images; one without binds no later run to its configuration."""
    return any(out.glob("shard-*.h5"))


def _known_manifest(out: Path, config: SimulateConfig) -> dict[str, Any]:
    """The manifest in a folder; where it is damaged, a new one for shards of this configuration."""
    try:
        return read_manifest(out)
    except DamagedManifestError:
        from simulate.imaging import configuration_of, digest_of

        own = digest_of(config)
        found = {path.name: configuration_of(path) for path in sorted(out.glob("shard-*.h5"))}
        others = [name for name, digest in found.items() if digest not in (None, own)]
        if others or own not in found.values():  # what cannot be read may be someone else's
            what = f"{others[0]} is of another" if others else "no shard is known to be of this"
            raise InputError(
                f"{out / MANIFEST} is damaged, and {what} configuration; give the options that the "
                "data set was made with, or choose another --out"
            ) from None
        return _new_manifest(config)


def _new_manifest(config: SimulateConfig) -> dict[str, Any]:
    names = config.label_names
    counts = np.zeros(len(names), np.int64)
    for start in range(0, config.n, _COUNTED):
        labels = config.labels(start, min(start + _COUNTED, config.n))
        counts += np.bincount(labels, minlength=len(names))
    return {
        "schema_version": SCHEMA_VERSION,
        "complete": False,
        "n": config.n,
        "seed": config.seed,
        "label_names": names,
        "counts": dict(zip(names, counts.tolist(), strict=True)),
        "config": config.identity(),
        "shards": [],
    }


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


def _finished(out: Path, manifest: dict[str, Any]) -> bool:
    from simulate.dataset.preview import is_intact

    written = (out / MANIFEST).read_text(encoding="utf-8")
    return written == manifest_text(manifest) and is_intact(out)
