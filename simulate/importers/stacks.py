"""Images to look at, one by one: the planes of HDF5 shards, .npy arrays and FITS files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.layouts import is_fits
from simulate.importers.npy import image_shape, read_npy
from simulate.shards import MANIFEST

if TYPE_CHECKING:
    from astropy.wcs import WCS

_HDF5 = (".h5", ".hdf5")
#: Relative, of the two sides of a pixel that count as equal.
_SQUARE = 0.01


@dataclasses.dataclass(frozen=True)
class Stack:
    """The images of one file; each is read when it is asked for.

    Attributes:
        count: their number.
        plane: the image (ny, nx) with this index, NaN where a pixel is bad.
        pixel_scale: arcsec; None where the file does not give it.
        unit: of the fluxes; None where the file does not give it.
        wcs: of the sky, None where the file has none.
        exposure_time: (count,) total, s; None where the file has none, NaN for single images.
    """

    count: int
    plane: Callable[[int], NDArray[Any]]
    pixel_scale: float | None = None
    unit: str | None = None
    wcs: WCS | None = None
    exposure_time: NDArray[np.float64] | None = None


def find_files(path: Path) -> list[Path]:
    """The files of an input: itself, the shards of a data set, or all images below a folder.

    Raises:
        BrokenFileError: if there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BrokenFileError("there is no such file or folder")
    if (path / MANIFEST).is_file():
        found = sorted(path.glob("shard-*.h5"))
    else:
        found = sorted(p for p in path.rglob("*") if _is_image(p) and p.is_file())
    if not found:
        raise BrokenFileError("there are no images (.fits, .npy, .h5) in it")
    return found


@contextmanager
def open_stack(path: Path, column: str = "image") -> Iterator[Stack]:
    """The images of a file.

    Args:
        path: an HDF5 shard; a .npy file of an image (ny, nx), images (N, ny, nx) or (N, 1, ny, nx),
            or of the published ``[image, mass]``; a FITS file of an image or a cube of images.
        column: of a shard; one that has no such column shows its ``image``.

    Raises:
        BrokenFileError: for a file that cannot be read, here or when a plane is asked for.
    """
    try:
        if path.name.lower().endswith(_HDF5):
            with _shard(path, column) as stack:
                yield stack
        elif is_fits(path.name):
            with _fits(path) as stack:
                yield stack
        elif path.name.lower().endswith(".npy"):
            yield _npy(path)
        else:
            raise BrokenFileError("it is no .fits, .npy or .h5 file")
    except OSError as error:
        raise BrokenFileError(f"it cannot be read: {error.strerror or error}") from None


def _is_image(path: Path) -> bool:
    known = is_fits(path.name) or path.name.lower().endswith((".npy", *_HDF5))
    return known and not path.name.startswith(".")


@contextmanager
def _shard(path: Path, column: str) -> Iterator[Stack]:
    try:
        with h5py.File(path, "r") as file:
            name = column if column in file else "image"
            attribute = "pixel_scale_lr" if name == "image_lr" else "pixel_scale"
            images, scale = file[name], file.attrs.get(attribute)
            count, planes = _planes(images.shape)
            unit = file.attrs.get("unit")
            times = file.get("params/exposure_time")
            yield Stack(
                count,
                lambda index: np.asarray(images[index]).reshape(planes),
                None if scale is None else float(scale),
                None if unit is None else str(unit),
                exposure_time=None if times is None else times[()].astype(float).reshape(count),
            )
    except BrokenFileError:
        raise
    # h5py answers damaged metadata with a RuntimeError.
    except (OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError):
        raise BrokenFileError("it is damaged or not a shard of this program") from None


def _npy(path: Path) -> Stack:
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        # One image in one object array, or damaged: this reader finds out.
        image = read_npy(path)[0]
        return Stack(1, lambda index: image)
    if not isinstance(pixels, np.ndarray):
        raise BrokenFileError("it is not an .npy file")
    if pixels.dtype.kind not in "fiub":
        raise BrokenFileError(f"it holds {pixels.dtype.name}, not numbers")
    count, shape = _planes(pixels.shape)
    images = pixels.reshape(count, *shape)
    return Stack(count, lambda index: np.asarray(images[index]))


@contextmanager
def _fits(path: Path) -> Iterator[Stack]:
    from simulate.importers.fits import opened_image

    with opened_image(path) as image:
        count, shape = _planes(image.shape)
        scale = None
        if image.pixel_widths:
            x, y = image.pixel_widths
            if abs(x / y - 1) > _SQUARE:
                raise BrokenFileError(f"its pixels are {x:.4g} x {y:.4g} arcsec, not square")
            scale = (x * y) ** 0.5
        unit = escape(image.unit) if image.unit else None
        wcs = image.wcs if scale else None
        times = np.full(count, image.exposure_time)
        yield Stack(count, lambda i: image.plane(i).reshape(shape), scale, unit, wcs, times)


def _planes(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Number of images in an array, and (ny, nx) of each.

    Raises:
        BrokenFileError: for an array of any other form.
    """
    if len(shape) == 4 and shape[1] == 1:
        return shape[0], image_shape(shape[2:])
    if len(shape) == 3 and shape[2] != 1:
        return shape[0], image_shape(shape[1:])
    return 1, image_shape(shape)
