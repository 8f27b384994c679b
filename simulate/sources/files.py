"""Images of galaxies from files of others: HDF5, FITS cubes, and folders of FITS cutouts."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import sha256

_FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
_HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and digests of the FITS files of a folder.

    Raises:
        InputError: if there is nothing.
    """
    return _digest(path, state(path))


@functools.lru_cache(maxsize=4)
def _digest(path: Path, contents: tuple[Any, ...]) -> str:
    if not path.is_dir():
        return sha256(path)
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in _fits_files(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def state(path: Path) -> tuple[Any, ...]:
    """Name, size and time of a file or of those in a folder: it changes with their contents.

    Raises:
        InputError: if there is nothing.
    """
    if not path.exists():
        raise InputError(f"there are no galaxy images at {path}; give an HDF5 or FITS file")
    files = _fits_files(path) if path.is_dir() else [path]
    return tuple((file.name, (s := file.stat()).st_size, s.st_mtime_ns) for file in files)


def read_images(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any] | None]]:
    """Number, label and pixels of each image; no pixels for a file of many that is broken.

    Args:
        path: an HDF5 file (`images`, `ans`), a FITS file, or a folder of FITS files.
        most: so many are read, evenly spaced through the file; None: all.

    Raises:
        InputError: for a file of another layout, or one that cannot be read.
    """
    if path.is_dir():
        files = _fits_files(path)
        if not files:
            raise InputError(f"{path} holds no FITS file")
        for number in _choose_evenly(len(files), most):
            try:
                yield number, -1, _fits_image(files[number])
            except InputError:
                yield number, -1, None
    elif path.name.endswith(_HDF5_ENDINGS):
        yield from _hdf5_images(path, most)
    elif path.name.endswith(_FITS_ENDINGS):
        yield from _fits_cube(path, most)
    else:
        raise InputError(f"{path} is neither an HDF5 file (.h5) nor a FITS file (.fits)")


def _choose_evenly(n: int, most: int | None) -> list[int]:
    """Evenly spaced, since files are often sorted by class."""
    count = n if most is None else min(n, most)
    return [i * n // count for i in range(count)]


def _hdf5_images(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    with _readable(path), h5py.File(path, "r", rdcc_nbytes=64 * 2**20) as file:
        if "images" not in file or not isinstance(file["images"], h5py.Dataset):
            found = ", ".join(file) or "nothing"
            raise InputError(
                f"{path} has no dataset 'images' (N, H, W, 3) or (N, H, W); it has {found}"
            )
        images = file["images"]
        colour = images.ndim == 4 and images.shape[3] == 3
        numbers = images.dtype.kind in "uif" and images.size > 0
        if not numbers or not (images.ndim == 3 or colour):
            raise InputError(
                f"{path}: 'images' must be numbers of shape (N, H, W, 3) or (N, H, W), got "
                f"{images.dtype} of shape {images.shape}"
            )
        labels = np.asarray(file["ans"]) if "ans" in file else np.full(len(images), -1)
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
            raise InputError(
                f"{path}: 'ans' must be whole numbers of shape ({len(images)},), got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        for number in _choose_evenly(len(images), most):
            yield number, int(labels[number]), images[number]


def _fits_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name.endswith(_FITS_ENDINGS))


def _fits_image(path: Path) -> NDArray[Any]:
    """The image of a cutout."""
    with _readable(path), fits.open(path) as file:
        image = _first_image(path, file)
        if image.ndim == 3 and len(image) == 3:
            image = np.moveaxis(image, 0, -1)
        elif image.ndim != 2:
            raise InputError(
                f"{path}: a cutout must be (H, W), or (3, H, W) in colour, got {image.shape}"
            )
        return _native(image)


def _fits_cube(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """The planes of a cube, or the one image of a file."""
    with _readable(path), fits.open(path) as file:
        cube = _first_image(path, file)
        cube = cube[None] if cube.ndim == 2 else cube
        if cube.ndim != 3:
            raise InputError(f"{path}: a cube must be (N, H, W), got {cube.shape}")
        for number in _choose_evenly(len(cube), most):
            yield number, -1, _native(cube[number])


def _first_image(path: Path, file: fits.HDUList) -> NDArray[Any]:
    for hdu in file:
        if hdu.is_image and hdu.data is not None and hdu.data.ndim >= 2:
            data: NDArray[Any] = hdu.data
            return data
    raise InputError(f"{path} holds no image")


def _native(image: NDArray[Any]) -> NDArray[Any]:
    """Copy an array off its file, in the byte order of this machine."""
    return np.array(image, dtype=image.dtype.newbyteorder("="))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot read galaxy images from {path}: {first}") from None
