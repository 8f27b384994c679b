"""Data sets on disk: HDF5 shards and their manifest. Written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import cannot_write, path_inside, replacing, sha256, write_text
from lensphys.ground.names import plain_text
from lensphys.ground.program import program
from lensphys.ground.room import check_memory, describe_bytes
from simulate.hdf5 import DamagedFileError, error_number, explain, held, is_held, read_hdf5
from simulate.shard_form import AGAIN, ShardForm

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
#: The file that holds the sources of a data set, where they are real galaxies.
SOURCES = "sources.h5"

_log = logging.getLogger(__name__)

#: Bytes of a data set from which reading it takes seconds.
_LARGE = 2**28
#: Bytes that a manifest may have: a million shards are listed in fewer.
_LARGEST_MANIFEST = 2**28

Array = NDArray[Any]
#: Columns, parameters and attributes of a shard.
Part = tuple[dict[str, Array], dict[str, Array], dict[str, Any]]
#: The key of a manifest that holds the checksum of the others.
_CHECKSUM = "manifest_sha256"


class DamagedManifestError(DamagedFileError):
    """A manifest that is not as it was written."""


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a data set."""
    write_text(folder / MANIFEST, manifest_text(manifest))


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """A manifest as it is written: with a checksum of its own."""
    content = {key: value for key, value in manifest.items() if key != _CHECKSUM}
    return json.dumps(content | {_CHECKSUM: _checksum(content)}, indent=1) + "\n"


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_shard_intact(folder: Path, entry: dict[str, Any]) -> bool:
    """True where the file of an entry of a manifest is as it was written.

    Raises:
        InputError: for a file that cannot be read now, or that another program is writing to: it
            is not known to be damaged.
    """
    path = path_inside(folder, entry["file"])
    if not path.is_file():
        return False
    try:
        intact = bool(sha256(path) == entry["sha256"])
    except OSError as error:
        raise explain(path, error, AGAIN) from None
    if not intact and is_held(path):
        raise held(path)
    return intact


def write_shard(
    path: Path, columns: Mapping[str, Array], params: Mapping[str, Array], attrs: Mapping[str, Any]
) -> str:
    """Write one shard: columns and the group ``params``, each with the images as first axis.

    Returns:
        The SHA-256 of the file.

    Raises:
        InputError: if the file cannot be written, as on a full disk.
    """
    try:
        with replacing(path) as temporary:
            with h5py.File(temporary, "w", locking=False) as file:
                for name, values in columns.items():
                    file.create_dataset(name, data=values)
                group = file.create_group("params")
                for name, values in params.items():
                    group.create_dataset(name, data=np.asarray(values, np.float64))
                for name, value in attrs.items():
                    file.attrs[name] = value
            return _settle_and_digest(temporary)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as either of the two
        raise cannot_write(path, error_number(error), str(error)) from None


def _settle_and_digest(path: Path) -> str:
    """The SHA-256 of a file that has just been written, taken while it goes to the disk."""
    with path.open("rb") as file, ThreadPoolExecutor(1) as other:
        on_disk = other.submit(os.fsync, file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        on_disk.result()
    return digest


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A finished data set, read into memory.

    Attributes:
        path: its folder.
        image: (N, 1, H, W) float32.
        label: (N,) int64, an index into ``label_names``.
        params: (N,) float64 columns; NaN where a column does not apply to an image.
        image_lr: (N, 1, h, w) float32 at lower resolution, or None.
        attrs: of its shards: ``label_names``, ``pixel_scale`` (arcsec), ``unit``, ``preset``,
            ``model`` and the optics.
        config: the configuration it was made from.
        numbers: (N,) which image of the data set each is, since a part of it may have been read;
            None: of no data set.
        digest: of all images of the data set on disk; None: of no data set.
    """

    path: Path
    image: NDArray[np.float32]
    label: NDArray[np.int64]
    params: dict[str, NDArray[np.float64]]
    image_lr: NDArray[np.float32] | None
    attrs: dict[str, Any]
    config: dict[str, Any]
    numbers: NDArray[np.int64] | None = None
    digest: str | None = None

    def __len__(self) -> int:
        return len(self.label)

    @property
    def label_names(self) -> list[str]:
        """Names of the classes, in the order of their labels."""
        return [str(name) for name in self.attrs["label_names"]]

    def rows(self, indices: NDArray[np.int64] | slice) -> DataSet:
        """Some of the images, with all that belongs to them."""
        return dataclasses.replace(
            self,
            image=self.image[indices],
            label=self.label[indices],
            params={name: values[indices] for name, values in self.params.items()},
            image_lr=None if self.image_lr is None else self.image_lr[indices],
            numbers=None if self.numbers is None else self.numbers[indices],
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data set, finished or not.

    Raises:
        InputError: if the folder holds none, or one that cannot be read
            (:class:`DamagedManifestError`).
    """
    path = folder / MANIFEST
    if not path.is_file():
        from simulate.other_data import no_data_set

        raise no_data_set(folder, MANIFEST)
    try:
        manifest = json.loads(_manifest_bytes(path))
        version = manifest["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {plain_text(version)[:40]}, this program reads "
                f"{SCHEMA_VERSION}; make the data set again"
            )
        checksum = manifest.pop(_CHECKSUM, None)  # earlier versions wrote none
        whole = checksum is None or checksum == _checksum(manifest)
        whole = whole and _has_form(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise DamagedManifestError(f"{path} is damaged; {AGAIN}")
    for entry in manifest["shards"]:
        path_inside(folder, entry["file"])
    return manifest  # type: ignore[no-any-return]


def _manifest_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise explain(path, error, AGAIN) from None
    if len(content) > _LARGEST_MANIFEST:
        raise InputError(
            f"{path} is larger than {describe_bytes(_LARGEST_MANIFEST)}; it is not a manifest of "
            "this program"
        )
    return content


def _has_form(manifest: dict[str, Any]) -> bool:
    """True where the entries that every reader needs are there, and of their kind."""
    names, shards = manifest["label_names"], manifest["shards"]
    files = {shard["file"] for shard in shards}
    return (
        isinstance(manifest["config"], dict)
        and isinstance(manifest["complete"], bool)
        and isinstance(manifest.get("n", 0), int)
        and isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names) > 0
        and isinstance(shards, list)
        and len(files) == len(shards)
        and all(type(shard["n"]) is int and 0 <= shard["n"] < 2**40 for shard in shards)
        and all(isinstance(shard["sha256"], str) for shard in shards)
    )


def read_finished_manifest(folder: Path, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """Read the manifest of a finished data set that has images of some classes.

    Raises:
        InputError: for a folder without one, or an unknown class.
    """
    if not folder.exists():
        raise InputError(f"there is no data set at {folder}; make it with `{program()} simulate`")
    manifest = read_manifest(folder)
    if not (manifest["complete"] and manifest["shards"]):
        raise InputError(
            f"{folder} is not finished; run the command that made it again to finish it"
        )
    names = manifest["label_names"]
    for name in classes or ():
        if name not in names:
            known = ", ".join(plain_text(name) for name in names)
            raise InputError(f"{folder} has no class '{name}'; it has {known}")
    return manifest


def read(folder: Path, classes: Sequence[str] | None = None) -> DataSet:
    """Read a finished data set into memory.

    Args:
        folder: its folder.
        classes: keep images of these classes only (labels stay as they are).

    Raises:
        InputError: for a folder without a finished data set, a shard that is missing, truncated
            or of another kind, NaN images, or an unknown class.
    """
    manifest = read_finished_manifest(folder, classes)
    names = manifest["label_names"]
    paths = [folder / shard["file"] for shard in manifest["shards"]]
    if sum(path.stat().st_size for path in paths if path.is_file()) > _LARGE:
        _log.info(f"reading {folder} ...")
    parts: list[Part] = []
    for shard in manifest["shards"]:
        path = folder / shard["file"]
        parts.append(read_shard(path, shard["n"]))
        if shapes(parts[-1]) != shapes(parts[0]):
            raise DamagedFileError(f"{path} is not a shard of this data set; {AGAIN}")
        if parts[-1][2]["label_names"] != names:
            raise DamagedFileError(f"{path} has other classes than {MANIFEST}; {AGAIN}")
        if len(parts) == 1:
            _check_memory(folder, manifest, parts[0])
    columns, params, attrs = parts[0]
    joined = {name: np.concatenate([part[0][name] for part in parts]) for name in columns}
    joined_params = {name: np.concatenate([part[1][name] for part in parts]) for name in params}
    numbers = np.arange(len(joined["label"]))
    if classes:
        keep = np.isin(joined["label"], [names.index(name) for name in classes])
        numbers = numbers[keep]
        joined = {name: values[keep] for name, values in joined.items()}
        joined_params = {name: values[keep] for name, values in joined_params.items()}
    return DataSet(
        folder,
        joined["image"],
        joined["label"],
        joined_params,
        joined.get("image_lr"),
        attrs,
        manifest["config"],
        numbers,
        _checksum({"shards": [shard["sha256"] for shard in manifest["shards"]]}),
    )


def shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """Shape of one image of each column and parameter of a shard."""
    return {name: values.shape[1:] for group in part[:2] for name, values in group.items()}


def read_shard(path: Path, n: int) -> Part:
    """Read a shard of ``n`` images into memory.

    Raises:
        DamagedFileError: if it is missing, or has arrays of another kind or shape, labels of no
            class, attributes that are missing, or pixels that are not finite.
        InputError: if it cannot be read now.
    """
    if path.is_file() and not path.stat().st_size:
        raise DamagedFileError(f"{path} is empty; {AGAIN}")
    with read_hdf5(path, AGAIN) as file:
        form = ShardForm.of_file(path, file, n)
        columns: dict[str, Array] = {"label": form.read_labels(), **form.read_images()}
        return columns, form.read_params(), form.attrs


def _check_memory(folder: Path, manifest: Mapping[str, Any], first: Part) -> None:
    """Refuse a data set that does not fit into memory, known from the first of its shards."""
    rows = sum(shard["n"] for shard in manifest["shards"])
    each = sum(
        math.prod(values.shape[1:]) * values.itemsize
        for part in first[:2]
        for values in part.values()
    )
    more = rows - len(first[0]["label"])
    # Shards and, beside them, what they are joined to.
    check_memory(
        (rows + more) * each,
        f"the {rows:,} images of {folder}",
        "make a smaller data set with `--n`, or give the machine more memory",
    )
