"""Import published images: shard by shard, resumable after any kind of death."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import path_inside
from lensphys.ground.locks import hold
from lensphys.ground.room import check_disk, check_memory
from simulate.dataset.padding import COLUMNS as PADDING
from simulate.hdf5 import read_hdf5
from simulate.importers.attributes import PRESET, attributes
from simulate.importers.catalogue import read_catalogue
from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.layouts import Entry, Source, find_images
from simulate.importers.pixels import read_entry
from simulate.importers.remarks import Remarks, list_left_out, sort_by_role
from simulate.importers.survey import Form, survey
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

#: Files from which a first look takes seconds.
_MANY = 1000

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
        path: a folder in a known layout, a CSV file of paths, or one FITS file.
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
    source = _find(path, config)
    if len(source.entries) > _MANY:
        _log.info(f"looking at the {len(source.entries)} files of {escape(str(path))} ...")
    form = survey(source, config)
    attrs = attributes(source, config, form)
    identity = _identity(source, config, form)
    out = default_out(path, config)
    parts = [
        source.entries[start : start + config.shard_size]
        for start in range(0, len(source.entries), config.shard_size)
    ]
    tell = warn or (lambda line: None)
    with hold(out):
        manifest = _open_manifest(out, source, identity)
        done = _finished_shards(out, manifest, parts)
        missing = sum(len(part) for number, part in enumerate(parts) if _file(number) not in done)
        report = progress(len(source.entries), len(source.entries) - missing) if progress else None
        if not missing and manifest["complete"] and (out / "preview.png").is_file():
            return out, False

        _check_room(out, missing, form, max(len(part) for part in parts))
        for line in list_left_out(source, config, form, out):
            tell(line)
        remarks = Remarks(tell, len(source.entries))
        for number, part in enumerate(parts):
            if _file(number) not in done:
                done[_file(number)] = _make_shard(
                    out / _file(number), source, part, form, config, attrs, remarks
                )
                manifest["shards"] = [done[key] for key in sorted(done)]
                manifest["complete"] = False
                write_manifest(out, manifest)
                if report:
                    report(len(part))
        remarks.close()
        _finish(out, manifest, source)
    return out, True


def _find(path: Path, config: ImportConfig) -> Source:
    """The images to import, and the extension to take of their files."""
    find = read_catalogue if path.suffix.lower() == ".csv" and path.is_file() else find_images
    source = find(path, config.label_names)
    if config.hdu is not None:
        if not source.fits:
            raise InputError(f"--hdu {config.hdu}: only FITS files have extensions")
        if source.hdu not in (None, config.hdu):
            raise InputError(f"--hdu {config.hdu}: {escape(str(path))} chooses another extension")
        source = dataclasses.replace(source, hdu=config.hdu)
    return source


def _finished_shards(
    out: Path, manifest: dict[str, Any], parts: list[tuple[Entry, ...]]
) -> dict[str, dict[str, Any]]:
    """Entries of the shards of a manifest that are as they were written, by the names of these.

    Raises:
        InputError: for an entry that no import of these files writes; nothing of it is touched.
    """
    expected = {_file(number): part for number, part in enumerate(parts)}
    done = {}
    for entry in manifest["shards"]:
        name, count, skipped = entry["file"], entry["n"], entry.get("skipped")
        path_inside(out, name)
        part = expected.get(name, ())
        names = {each.name for each in part}
        known = isinstance(skipped, list) and all(
            isinstance(each, str) and each in names for each in skipped
        )
        if not known or type(count) is not int or count + len(skipped) != len(part) or not part:
            raise InputError(
                f"{out / MANIFEST} lists a shard that this import does not make: {name!a:.100}; "
                f"delete {out} and import again"
            )
        if is_shard_intact(out, entry):
            done[name] = {key: entry[key] for key in ("file", "n", "sha256", "skipped")}
    return done


def _check_room(out: Path, count: int, form: Form, of_shard: int) -> None:
    """Refuse more images than fit onto the disk, or larger shards than fit into memory."""
    pixels = form.size**2 + (form.size // form.factor) ** 2 if form.factor else form.size**2
    check_disk(
        out,
        4 * pixels * count,
        f"the pixels of {_images(count)}",
        "make room or choose another --out",
    )
    what = f"shards of {_images(of_shard)} of {form.size} x {form.size} pixels"
    check_memory(4 * pixels * of_shard, what, "give a smaller --size, or --set shard_size=64")


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


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
        "hdu": source.hdu,
    }


def _make_shard(
    path: Path,
    source: Source,
    part: tuple[Entry, ...],
    form: Form,
    config: ImportConfig,
    attrs: dict[str, Any],
    remarks: Remarks,
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
            images, mass, bad, padding = read_entry(source, entry, form, config, remarks.note)
        except BrokenFileError as error:
            skipped.append(entry.name)
            remarks.skip(entry.name, error)
            continue
        columns["label"][i] = entry.label
        for name, image in zip(("image", "image_lr"), images, strict=False):
            columns[name][i, 0] = image
        exposure = config.exposure_time or form.exposures.get(entry.name, math.nan)
        row = {"n_bad_pixels": bad, "split": entry.split, "exposure_time": exposure}
        row |= _class_columns(source, mass) | dict(zip(PADDING, padding, strict=True))
        for name in params:
            params[name][i] = row[name]
        i += 1
    digest = write_shard(
        path,
        {name: values[:i] for name, values in columns.items()},
        {name: values[:i] for name, values in params.items()},
        attrs,
    )
    return {"file": path.name, "n": i, "sha256": digest, "skipped": skipped}


def _param_names(source: Source, form: Form, config: ImportConfig) -> list[str]:
    names = ["n_bad_pixels"]
    if form.framing.padded:
        names += PADDING
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


def _finish(out: Path, manifest: dict[str, Any], source: Source) -> None:
    """Write the counts and the picture, and mark the data set complete."""
    shards = manifest["shards"]
    names = [name for shard in shards for name in shard["skipped"]]
    total = sum(shard["n"] for shard in shards)
    if not total:
        for shard in shards:
            (out / shard["file"]).unlink()  # one of our own names: checked when it was read
        (out / MANIFEST).unlink()
        raise InputError(
            f"none of the {len(names)} images in {escape(str(source.path))} can be imported"
        )
    counts = np.zeros(len(source.label_names), int)
    for shard in shards:
        counts += _count_labels(out / shard["file"], len(counts))

    from simulate.dataset.preview import write_preview

    # Where classes have one image each, scipy divides by zero before it returns NaN.
    with np.errstate(divide="ignore"):
        write_preview(out)
    manifest["n"] = total
    manifest["counts"] = dict(zip(source.label_names, counts.tolist(), strict=True))
    manifest["skipped"] = {"n": len(names), "names": names}
    roles = {f"{role}s": len(names) for role, names in sort_by_role(source).items()}
    manifest["left_out"] = dict(source.left_out) | roles
    manifest["complete"] = True
    write_manifest(out, manifest)


def _count_labels(path: Path, classes: int) -> NDArray[np.int64]:
    with read_hdf5(path, f"delete {path.parent} and import again") as file:
        return np.bincount(file["label"][()], minlength=classes).reshape(classes)


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
        return manifest  # written with the first shard: a refused import leaves nothing
    try:
        manifest = read_manifest(out)
    except DamagedManifestError:
        raise InputError(f"{out / MANIFEST} is damaged; delete {out} and import again") from None
    old = manifest["config"]
    if not isinstance(old, dict) or old.get("command") != "import":
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
