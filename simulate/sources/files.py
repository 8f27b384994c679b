"""Images of galaxies from files of others: HDF5, FITS cubes, and folders of FITS cutouts."""

from __future__ import annotations

import functools
import hashlib
import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from lensphys.ground.files import sha256
from simulate.hdf5 import array, check_declared
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.extensions import choose_image, is_image, sky_images
from simulate.importers.fits import check_complete, find_bad_pixels, opened_fits
from simulate.importers.listing import list_images
from simulate.importers.npy import MAX_PIXELS
from simulate.importers.roles import is_fits

_log = logging.getLogger(__name__)

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
        path: an HDF5 file (`images`, `ans`), a FITS file of a cube or of an image in each
            extension, or a folder of FITS files. Noise maps, PSFs and masks are left out.
        most: so many are read, evenly spaced through the file; None: all.

    Raises:
        InputError: for a file of another layout, or one that cannot be read.
    """
    if path.is_dir():
        files = _fits_files(path)
        if not files:
            raise InputError(f"{path} holds no FITS file")
        if others := list_images(path).others:
            names = ", ".join(escape(name) for name, _ in others[:3])
            _log.info(
                f"{escape(str(path))}: left out {len(others)} noise maps, PSFs and the like by "
                f"their names: {names}{', ...' if len(others) > 3 else ''}"
            )
        yield from _folder_images(path, files, most)
    elif path.name.endswith(_HDF5_ENDINGS):
        yield from _hdf5_images(path, most)
    elif is_fits(path.name):
        yield from _fits_images(path, most)
    else:
        raise InputError(f"{path} is neither an HDF5 file (.h5) nor a FITS file (.fits)")


def _choose_evenly(n: int, most: int | None) -> list[int]:
    """Evenly spaced, since files are often sorted by class."""
    count = n if most is None else min(n, most)
    return [i * n // count for i in range(count)]


def _hdf5_images(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any]]]:
    with _readable(path), h5py.File(path, "r", rdcc_nbytes=64 * 2**20, locking=False) as file:
        images = array(file, "images") if "images" in file else None
        if images is None:
            found = ", ".join(file) or "nothing"
            raise InputError(
                f"{path} has no dataset 'images' (N, H, W, 3) or (N, H, W); it has {found}"
            )
        colour = images.ndim == 4 and images.shape[3] == 3
        numbers = images.dtype.kind in "uif" and images.size > 0
        if not numbers or not (images.ndim == 3 or colour):
            raise InputError(
                f"{path}: 'images' must be numbers of shape (N, H, W, 3) or (N, H, W), got "
                f"{images.dtype} of shape {images.shape}"
            )
        check_declared(path, [images], "get the whole file")
        _check_size(images.shape[1:])
        labels = np.full(len(images), -1)
        if "ans" in file:
            labels = array(file, "ans")
            if labels.shape == (len(images),):
                labels = labels[()]
        if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
            raise InputError(
                f"{path}: 'ans' must be whole numbers of shape ({len(images)},), got "
                f"{labels.dtype} of shape {labels.shape}"
            )
        for number in _choose_evenly(len(images), most):
            yield number, int(labels[number]), images[number]


def _fits_files(folder: Path) -> list[Path]:
    """Images of a folder; noise maps, PSFs and masks are left out by their names."""
    listing = list_images(folder)
    return [folder / name for name, _ in listing.images if is_fits(name)]


def _folder_images(
    path: Path, files: list[Path], most: int | None
) -> Iterator[tuple[int, int, NDArray[Any] | None]]:
    """The image of each file, or of each of its extensions where these have no names."""
    counts = [_count_unnamed(file) for file in files]
    if several := sum(count > 1 for count in counts):
        _log.info(
            f"{escape(str(path))}: {several} of {len(files)} files have a galaxy in each of "
            f"several extensions, {sum(counts)} galaxies in all"
        )
    places = [(file, n) for file, count in enumerate(counts) for n in range(count)]
    chosen = [(number, *places[number]) for number in _choose_evenly(len(places), most)]
    notes: Counter[str] = Counter()
    for of_file, group in itertools.groupby(chosen, key=lambda item: item[1]):
        if counts[of_file] > 1:
            wanted = {n: number for number, _, n in group}
            yield from _extensions(files[of_file], wanted)
            continue
        for number, _, _ in group:
            try:
                yield number, -1, _fits_image(files[of_file], notes)
            except InputError:
                yield number, -1, None
    for note, count in itertools.islice(notes.items(), 3):
        _log.info(f"{escape(str(path))}: {count} {'galaxy' if count == 1 else 'galaxies'} {note}")


def _count_unnamed(path: Path) -> int:
    """Number of galaxies in a file of a folder: several where extensions without names hold them.

    Names are those of bands, of which one is taken.
    """
    try:
        with opened_fits(path) as file:
            images = sky_images(file) if len(file) > 1 else []
            named = any(hdu.name not in ("", "PRIMARY") for hdu in images)
            return 1 if named else max(1, len(images))
    except (BrokenFileError, OSError):
        return 1  # reading it gives the reason


def _extensions(
    path: Path, wanted: Mapping[int, int]
) -> Iterator[tuple[int, int, NDArray[Any] | None]]:
    """Galaxies of a file by their places among its images, with the numbers that they have."""
    done: set[int] = set()
    try:
        with _readable(path), opened_fits(path) as file:
            images = sky_images(file)
            flagged = sum(is_image(hdu) for hdu in file) > len(images)
            for place, number in wanted.items():
                done.add(number)
                yield number, -1, _plane(images[place], file, flagged=flagged)
    except InputError:
        yield from ((number, -1, None) for number in wanted.values() if number not in done)


def _plane(hdu: Any, file: fits.HDUList, *, flagged: bool) -> NDArray[Any] | None:
    """The image (H, W) of an extension; None where it is broken or of other dimensions."""
    try:
        image = _pixels(hdu, file, flagged=flagged)
    except BrokenFileError:
        return None
    return image if image.ndim == 2 else None


def _fits_image(path: Path, notes: Counter[str]) -> NDArray[Any]:
    """The image of a cutout; a note is added where the file has others of the sky."""
    with _readable(path), opened_fits(path) as file:
        choice = choose_image(file)
        if choice.note:
            notes[choice.note.partition("; choose")[0]] += 1
        image = _pixels(choice.image, file, flagged=True)
        if image.ndim == 3 and len(image) == 3:
            image = np.moveaxis(image, 0, -1)
        elif image.ndim != 2:
            raise InputError(
                f"{path}: a cutout must be (H, W), or (3, H, W) in colour, got {image.shape}"
            )
        return image


def _fits_images(path: Path, most: int | None) -> Iterator[tuple[int, int, NDArray[Any] | None]]:
    """The planes of a cube, or the image of each extension."""
    with _readable(path), opened_fits(path) as file:
        images = sky_images(file)
        if not images:
            raise InputError(f"{path} holds no image of the sky")
        left = sum(is_image(hdu) for hdu in file) - len(images)
        if len(images) > 1 or left:
            beside = f"; left out are {left} noise maps, PSFs and the like" if left else ""
            count = f"{len(images)} image{'s' if len(images) > 1 else ''} of the sky"
            _log.info(f"{escape(str(path))}: {count}, by extension{beside}")
        if len(images) == 1:
            yield from _fits_cube(path, images[0], file, most)
            return
        for number in _choose_evenly(len(images), most):
            yield number, -1, _plane(images[number], file, flagged=left > 0)


def _fits_cube(
    path: Path, hdu: Any, file: fits.HDUList, most: int | None
) -> Iterator[tuple[int, int, NDArray[Any]]]:
    check_complete(hdu)
    if len(hdu.shape) > 3:
        raise InputError(f"{path}: a cube must be (N, H, W), got {hdu.shape}")
    if len(hdu.shape) == 2:
        yield 0, -1, _pixels(hdu, file, flagged=True)
        return
    _check_size(hdu.shape[1:])
    for number in _choose_evenly(hdu.shape[0], most):
        yield number, -1, _native(hdu.section[number])


def _pixels(hdu: Any, file: fits.HDUList, *, flagged: bool) -> NDArray[Any]:
    """The image of an extension, NaN where a mask calls a pixel bad if the file may have one."""
    check_complete(hdu)
    _check_size(hdu.shape)
    image = _native(hdu.section[(slice(None),) * len(hdu.shape)])
    if not flagged:
        return image
    choice = choose_image(file, str(file.index(hdu)))
    bad, _ = find_bad_pixels(file, choice)
    if bad is None or not bad.any():
        return image
    image = image.astype(np.float64)
    image[bad] = np.nan
    return image


def _check_size(shape: tuple[int, ...]) -> None:
    """Refuse an image that is no cutout of a galaxy, before its pixels are read."""
    if math.prod(shape) > 3 * MAX_PIXELS:
        size = " x ".join(map(str, shape))
        raise BrokenFileError(f"an image of {size} pixels is no cutout of a galaxy")


def _native(image: NDArray[Any]) -> NDArray[Any]:
    """Copy an array off its file, in the byte order of this machine."""
    return np.array(image, dtype=image.dtype.newbyteorder("="))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenFileError as error:
        raise InputError(f"cannot read galaxy images from {path}: {error}") from None
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"cannot read galaxy images from {path}: {first}") from None
