"""Import published images: shard by shard, resumable after any kind of death."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import sha256
from lensphys.ground.locks import hold
from simulate.importers.attributes import PRESET, attributes
from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.layouts import Entry, Source, find_images
from simulate.importers.survey import Form, read_pixels, survey
from simulate.shards import (
    MANIFEST,
    SCHEMA_VERSION,
    DamagedManifestError,
    is_shard_intact,
    read_manifest,
    write_manifest,
    write_shard,
)
from simulate.substructure import SUBSTRUCTURES, substructure

_log = logging.getLogger(__name__)

#: Broken files that are named one by one, and files from which a first look takes seconds.
_NAMED, _MANY = 10, 1000

#: Called with the number of files that have just been dealt with.
Progress = Callable[[int], None]


def default_out(source: Path, config: ImportConfig) -> Path:
    """The folder of the data set where none is given."""
    name = source.resolve().name.partition(".")[0] or "images"
    return config.out or Path("data") / "imported" / name


def import_images(
    path: Path,
    config: ImportConfig,
    progress: Callable[[int, int], Progress] | None = None,
    warn: Callable[[str], None] | None = None,
) -> tuple[Path, bool]:
    """Make a data set of images in files, or what is missing of it.

    Args:
        path: a folder in a known layout, or one FITS file.
        config: the options.
        progress: called with the number of files in all and of those already dealt with; returns
            what to call with each number of files done.
        warn: called with a line for each of the first files that cannot be imported, and for each
            folder of images that is left out.

    Returns:
        The folder, and whether anything had to be made.

    Raises:
        InputError: for files that are no images or do not go together, an option that is missing,
            and a folder that holds something else or cannot be written to.
    """
    source = find_images(path, config.label_names)
    if len(source.entries) > _MANY:
        _log.info(f"looking at the {len(source.entries)} files of {path} ...")
    form = survey(source, config)
    attrs = attributes(source, config, form)
    identity = _identity(source, config, form)
    out = default_out(path, config)
    parts = [
        source.entries[start : start + config.shard_size]
        for start in range(0, len(source.entries), config.shard_size)
    ]
    with hold(out):
        manifest = _open_manifest(out, source, identity)
        done = {entry["file"]: entry for entry in manifest["shards"] if is_shard_intact(out, entry)}
        missing = sum(len(part) for number, part in enumerate(parts) if _file(number) not in done)
        report = progress(len(source.entries), len(source.entries) - missing) if progress else None
        if not missing and manifest["complete"] and (out / "preview.png").is_file():
            return out, False

        warnings = _Warnings(warn or (lambda line: None))
        for line in _left_out(source, config):
            (warn or (lambda line: None))(line)
        for number, part in enumerate(parts):
            if _file(number) not in done:
                done[_file(number)] = _make_shard(
                    out / _file(number), source, part, form, config, attrs, warnings
                )
                manifest["shards"] = [done[key] for key in sorted(done)]
                manifest["complete"] = False
                write_manifest(out, manifest)
                if report:
                    report(len(part))
        warnings.close()
        _finish(out, manifest, source)
    return out, True


def _left_out(source: Source, config: ImportConfig) -> Iterator[str]:
    """One line for each folder of images that is not imported."""
    named = "--label-names does not name it"
    why = named if config.label_names else f"it is not part of the layout {source.layout}"
    for name, count in source.left_out.items():
        yield f"left out {escape(name)}/ ({count} {'image' if count == 1 else 'images'}): {why}"


def _identity(source: Source, config: ImportConfig, form: Form) -> dict[str, Any]:
    """All that the data set depends on, as the manifest keeps it."""
    return {
        "command": "import",
        "preset": PRESET,
        "source": source.path.resolve().name,
        "layout": source.layout,
        "classes": list(source.label_names),
        "n_files": len(source.entries),
        "files_sha256": source.digest(),
        "pairs": form.factor,
        **config.identity(),
    }


def _make_shard(
    path: Path,
    source: Source,
    part: tuple[Entry, ...],
    form: Form,
    config: ImportConfig,
    attrs: dict[str, Any],
    warnings: _Warnings,
) -> dict[str, Any]:
    """Read the images of one shard and write it; returns its entry in the manifest."""
    n, size = len(part), form.size
    columns: dict[str, NDArray[Any]] = {
        "image": np.empty((n, 1, size, size), np.float32),
        "label": np.empty(n, np.int64),
    }
    if form.factor:
        low = size // form.factor
        columns["image_lr"] = np.empty((n, 1, low, low), np.float32)
    params = {name: np.full(n, np.nan) for name in _param_names(source, form, config)}
    skipped, i = [], 0
    for entry in part:
        try:
            images, mass, bad = _one(source, entry, form, config)
        except BrokenFileError as error:
            skipped.append(entry.name)
            warnings.add(entry.name, error)
            continue
        columns["label"][i] = entry.label
        for name, image in zip(("image", "image_lr"), images, strict=False):
            columns[name][i, 0] = image
        exposure = config.exposure_time or form.exposures.get(entry.name, math.nan)
        row = {"n_bad_pixels": bad, "split": entry.split, "exposure_time": exposure}
        row |= _class_columns(source, mass)
        for name in params:
            params[name][i] = row[name]
        i += 1
    write_shard(
        path,
        {name: values[:i] for name, values in columns.items()},
        {name: values[:i] for name, values in params.items()},
        attrs,
    )
    return {"file": path.name, "n": i, "sha256": sha256(path), "skipped": skipped}


def _param_names(source: Source, form: Form, config: ImportConfig) -> list[str]:
    names = ["n_bad_pixels"]
    if config.exposure_time or form.exposures:
        names.append("exposure_time")
    names += _class_columns(source, math.nan)
    if source.split_names:
        names.append("split")
    return names


def _class_columns(source: Source, mass: float) -> dict[str, float]:
    """Columns that classes derive from the number beside an image, the axion mass in eV."""
    derived: dict[str, float] = {}
    for name in source.label_names:
        if name in SUBSTRUCTURES and (imported := substructure(name).imported) is not None:
            derived |= imported(mass)
    return derived


def _one(
    source: Source, entry: Entry, form: Form, config: ImportConfig
) -> tuple[list[NDArray[np.float32]], float, int]:
    """The image, at both resolutions in a layout of pairs, its axion mass, and its bad pixels."""
    if entry.name in form.broken:
        raise BrokenFileError(form.broken[entry.name])
    high, mass = read_pixels(source, entry.name)
    if mass <= 0 or math.isinf(mass):
        raise BrokenFileError(f"its axion mass is {mass:g} eV")
    if not form.factor:
        _check_shape(high, form, config)
        images = [_crop(high, form.size)]
    else:
        assert entry.low is not None  # the survey has found those without
        low, _ = read_pixels(source, entry.low)
        _check_shape(high, form, config)
        if any(a != b * form.factor for a, b in zip(high.shape, low.shape, strict=True)):
            raise BrokenFileError(f"its partner has {low.shape[0]} x {low.shape[1]} pixels")
        images = _crop_pair(high, low, form.size, form.factor)
    whole = [fill_bad_pixels(image, config.fill) for image in images]
    return [image for image, _ in whole], mass, whole[0][1]


def _check_shape(image: NDArray[Any], form: Form, config: ImportConfig) -> None:
    fits_in = min(image.shape) >= form.size if config.size else image.shape == form.shape
    if not fits_in:
        raise BrokenFileError(
            f"it has {image.shape[0]} x {image.shape[1]} pixels, the others {form.shape[0]} x "
            f"{form.shape[1]}"
        )


def _crop(image: NDArray[Any], size: int) -> NDArray[Any]:
    y, x = ((n - size) // 2 for n in image.shape)
    return image[y : y + size, x : x + size]


def _crop_pair(high: NDArray[Any], low: NDArray[Any], size: int, factor: int) -> list[NDArray[Any]]:
    """Both cropped to the same field: to whole pixels of the low resolution."""
    side = size // factor
    y, x = ((n - side) // 2 for n in low.shape)
    top, left = y * factor, x * factor
    return [high[top : top + size, left : left + size], low[y : y + side, x : x + side]]


def fill_bad_pixels(image: NDArray[Any], fill: str) -> tuple[NDArray[np.float32], int]:
    """The image with finite pixels, and how many had to be filled.

    Args:
        image: (ny, nx) of any kind of number.
        fill: ``median`` of the good pixels, or ``zero``.

    Raises:
        BrokenFileError: for an image without a good pixel.
    """
    with np.errstate(over="ignore"):
        pixels = image.astype(np.float32)
    good = np.isfinite(pixels)
    if good.all():
        return pixels, 0
    if not good.any():
        raise BrokenFileError("it has no good pixel")
    pixels[~good] = np.median(pixels[good]) if fill == "median" else 0.0
    return pixels, int(np.count_nonzero(~good))


class _Warnings:
    """Broken files: the first ones by name, the others as a count."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn, self._count = warn, 0

    def add(self, name: str, error: BrokenFileError) -> None:
        self._count += 1
        if self._count <= _NAMED:
            self._warn(f"skipped {escape(name)}: {error}")

    def close(self) -> None:
        if self._count > _NAMED:
            self._warn(
                f"skipped {self._count - _NAMED} more files; {MANIFEST} names all {self._count}"
            )


def _finish(out: Path, manifest: dict[str, Any], source: Source) -> None:
    """Write the counts and the picture, and mark the data set complete."""
    shards = manifest["shards"]
    names = [name for shard in shards for name in shard["skipped"]]
    total = sum(shard["n"] for shard in shards)
    if not total:
        for shard in shards:
            (out / shard["file"]).unlink()
        (out / MANIFEST).unlink()
        raise InputError(f"none of the {len(names)} images in {source.path} can be imported")
    counts = np.zeros(len(source.label_names), int)
    for shard in shards:
        with h5py.File(out / shard["file"], "r") as file:
            counts += np.bincount(file["label"][()], minlength=len(counts))

    from simulate.dataset.preview import write_preview

    # Where classes have one image each, scipy divides by zero before it returns NaN.
    with np.errstate(divide="ignore"):
        write_preview(out)
    manifest["n"] = total
    manifest["counts"] = dict(zip(source.label_names, counts.tolist(), strict=True))
    manifest["skipped"] = {"n": len(names), "names": names}
    manifest["left_out"] = dict(source.left_out)
    manifest["complete"] = True
    write_manifest(out, manifest)


def _open_manifest(out: Path, source: Source, identity: dict[str, Any]) -> dict[str, Any]:
    if not (out / MANIFEST).exists():
        if any(out.iterdir()):
            raise InputError(f"{out} holds other files; choose an empty folder with --out")
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "complete": False,
            "n": len(source.entries),
            "seed": None,
            "label_names": list(source.label_names),
            "counts": {},
            "skipped": {"n": 0, "names": []},
            "left_out": {},
            "config": identity,
            "shards": [],
        }
        write_manifest(out, manifest)
        return manifest
    try:
        manifest = read_manifest(out)
    except DamagedManifestError:
        raise InputError(f"{out / MANIFEST} is damaged; delete {out} and import again") from None
    old = manifest["config"]
    if old.get("command") != "import":
        raise InputError(f"{out} holds a data set that was simulated; choose another --out")
    for key, value in identity.items():
        if old.get(key) == value:
            continue
        if key in ("files_sha256", "n_files") and old.get("source") == identity["source"]:
            raise InputError(
                f"the files in {source.path} are not those that {out} was made of; choose another "
                "--out or delete the folder"
            )
        raise InputError(
            f"{out} holds a data set with {key} = {old.get(key)}, not {value}; choose another "
            "--out or delete the folder"
        )
    return manifest


def _file(number: int) -> str:
    return f"shard-{number:05d}.h5"
