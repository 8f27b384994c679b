"""The galaxies behind the lenses of a data set, kept beside its images."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import h5py
import numpy as np

from lensphys.ground.files import replacing
from simulate.hdf5 import DamagedFileError, array, check_declared, read_hdf5
from simulate.shards import SOURCES
from simulate.sources.config import GalaxyImagesConfig
from simulate.sources.galaxies import GalaxyImages, load_galaxies

_AGAIN = "run the simulate command of the data set again"
_COLUMNS = ("stamps", "half_light_radius", "number", "label")


def store_galaxies(config: GalaxyImagesConfig, folder: Path) -> GalaxyImages:
    """Prepare the galaxies once and keep them beside the images; found there, they are read.

    Raises:
        InputError: see :func:`load_galaxies`, and where the file cannot be written.
    """
    identity = json.dumps(config.identity(), sort_keys=True)
    path = folder / SOURCES
    if path.is_file():
        try:
            with read_hdf5(path, _AGAIN) as file:
                same = file.attrs["identity"] == identity and file.attrs["digest"] == _content(file)
            if same:
                return read_stored_galaxies(folder)
        except DamagedFileError:
            pass  # made again
    galaxies = load_galaxies(config)
    with replacing(path) as temporary, h5py.File(temporary, "w", locking=False) as file:
        for name in _COLUMNS:
            file.create_dataset(name, data=getattr(galaxies, name))
        file.attrs["rejected"] = json.dumps(galaxies.rejected)
        file.attrs["identity"], file.attrs["digest"] = identity, _content(file)
    return galaxies


def read_stored_galaxies(folder: Path) -> GalaxyImages:
    """The galaxies that are the sources of a data set.

    Raises:
        InputError: if there are none, or the file is damaged.
    """
    path = folder / SOURCES
    if not path.is_file():
        raise DamagedFileError(f"{path} is missing; {_AGAIN}")
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> GalaxyImages:
    try:
        with read_hdf5(path, _AGAIN) as file:
            arrays = {name: array(file, name) for name in _COLUMNS}
            check_declared(path, arrays.values(), _AGAIN)
            columns = {name: values[()] for name, values in arrays.items()}
            return GalaxyImages(**columns, rejected=json.loads(file.attrs["rejected"]))
    except DamagedFileError:
        raise DamagedFileError(f"{path} is damaged; {_AGAIN}") from None


def _content(file: h5py.File) -> str:
    """SHA-256 of the columns."""
    digest = hashlib.sha256()
    for name in _COLUMNS:
        digest.update(np.ascontiguousarray(array(file, name)[()]).tobytes())
    return digest.hexdigest()
