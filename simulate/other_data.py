"""Advice for what is given as a data set, and is none."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from lensphys.ground.errors import InputError
from lensphys.ground.program import program

#: Files that are looked at below a folder.
_LOOKED_AT = 10_000


def no_data_set(path: Path, manifest: str) -> InputError:
    """The error for what is no data set, with the command that makes one of it, or one at all.

    Args:
        path: a file, or a folder without manifest.
        manifest: name of the file that a data set has.
    """
    what = "it is a file" if path.is_file() else f"it has no {manifest}"
    return InputError(f"{path} is not a data set: {what}; {_advice(path, manifest)}")


def _advice(path: Path, manifest: str) -> str:
    from simulate.importers.layouts import find_images
    from simulate.importers.listing import is_image
    from simulate.importers.roles import HDF5

    if path.is_file() and path.name.lower().endswith(HDF5):
        return _advice_on_hdf5(path, manifest)
    if path.is_dir():
        below = itertools.islice(path.rglob("*"), _LOOKED_AT)
        images = any(is_image(child.name) for child in below)
    else:
        images = path.is_file()
    if not images:
        return f"make one with `{program()} simulate`"
    try:
        source = find_images(path)
    except InputError as error:
        return f"to import images, mind that {error}"
    scale = "" if source.fits else " --pixel-scale ARCSEC"
    return f"make one of these images with `{program()} import {shlex.quote(str(path))}{scale}`"


def _advice_on_hdf5(path: Path, manifest: str) -> str:
    from simulate.importers.stacks import advise_on_hdf5

    if (path.parent / manifest).is_file():
        return f"give the folder that it is in, {path.parent}"
    return f"{advise_on_hdf5(path)}; import takes images as .npy and FITS files"
