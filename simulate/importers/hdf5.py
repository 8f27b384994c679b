"""Images in HDF5 files: shards of data sets, and single images as lenstronomy keeps them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from simulate.dataset.padding import COLUMNS as PADDING
from simulate.dataset.padding import leaves_pixels, read_padding
from simulate.hdf5 import DamagedFileError, array, check_declared
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.npy import planes
from simulate.importers.stack import Stack

#: Names that lenstronomy and programs around it give to the image, the PSF and a finished fit.
_IMAGE, _PSF, _FIT = "image_data", "kernel_point_source", "kwargs_result"
_SHOWN = 5


@contextmanager
def open_hdf5(path: Path, column: str = "image") -> Iterator[Stack]:
    """The images of an HDF5 file.

    Args:
        path: a shard, or a file of one image with ``image_data`` and ``transform_pix2angle``.
        column: of a shard; one that has no such column shows its ``image``.

    Raises:
        BrokenFileError: for a file that is damaged, has no images or declares far more than it
            holds.
        OSError: for one that cannot be opened.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield _shard(path, file, column) if "image" in file else _single(path, file)
    except BrokenFileError:
        raise
    except OSError as error:
        if error.errno is not None and not isinstance(error, BlockingIOError):
            raise
        raise BrokenFileError("it is damaged or not an HDF5 file") from None
    # h5py answers damaged metadata with a RuntimeError.
    except (KeyError, AttributeError, TypeError, ValueError, RuntimeError):
        raise BrokenFileError("it is damaged or not a shard of this program") from None


def _shard(path: Path, file: h5py.File, column: str) -> Stack:
    name = column if column in file else "image"
    attribute = "pixel_scale_lr" if name == "image_lr" else "pixel_scale"
    images, scale = _array(file, name), file.attrs.get(attribute)
    count, shape = planes(images.shape)
    _check(path, images)
    unit = file.attrs.get("unit")
    params = file.get("params", getlink=True)
    known = isinstance(params, h5py.HardLink)
    times = _array(file["params"], "exposure_time") if known else None
    padding = _read_padding(file["params"], count, shape) if known and name == "image" else None

    def plane(index: int) -> NDArray[Any]:
        return np.asarray(images[index]).reshape(shape)

    def shown(index: int) -> NDArray[Any]:
        assert padding is not None
        left, right, bottom, top = padding[index]
        return plane(index)[bottom : shape[0] - top, left : shape[1] - right]

    if times is not None and times.shape != (count,):
        raise BrokenFileError("its exposure times are not those of its images")
    return Stack(
        count,
        plane if padding is None else shown,
        _as_scale(scale),
        None if unit is None else escape(str(unit)),
        exposure_time=None if times is None else times[()].astype(float),
        framed=None if padding is None else lambda index: (plane(index), padding[index]),
    )


def _read_padding(
    params: h5py.Group, count: int, shape: tuple[int, int]
) -> NDArray[np.int64] | None:
    """The padding (N, 4) of the images of a shard, which are shown without it; None without.

    Raises:
        BrokenFileError: for padding of another number of images, or that leaves no pixel of one.
    """
    columns = {name: _array(params, name) for name in PADDING}
    read = {name: values[()] for name, values in columns.items() if values is not None}
    if any(values.shape != (count,) for values in read.values()):
        raise BrokenFileError("its padding is not that of its images")
    padding = read_padding(read)
    if padding is not None and not leaves_pixels(padding, shape).all():
        raise BrokenFileError("its padding leaves no pixel of an image")
    return padding


def _single(path: Path, file: h5py.File) -> Stack:
    """One image with its map from pixels to angles."""
    if _IMAGE not in file:
        raise BrokenFileError(_name_contents(file))
    images = _array(file, _IMAGE)
    count, shape = planes(images.shape)
    if count != 1:
        raise BrokenFileError(f"its '{_IMAGE}' is not one image")
    _check(path, images)
    matrix, time = (_array(file, name) for name in ("transform_pix2angle", "exposure_time"))
    scale = None
    if matrix is not None and matrix.shape == (2, 2):
        scale = math.sqrt(abs(float(np.linalg.det(matrix[()]))))
    known = time is not None and time.shape == ()
    seconds = np.array([float(time[()]) if known else math.nan])
    return Stack(
        1,
        lambda index: np.asarray(images[()]).reshape(shape),
        _as_scale(scale),
        exposure_time=seconds,
    )


def _name_contents(file: h5py.File) -> str:
    names = [escape(str(name)) for name in file]
    if _PSF in file:
        return f"it holds a PSF ('{_PSF}'), no image of the sky"
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    of_fit = " (the result of a lens model; give the image that was fitted)" if _FIT in file else ""
    return f"it has neither 'image' nor '{_IMAGE}', but {shown or 'nothing'}{of_fit}"


def _array(place: h5py.File | h5py.Group, name: str) -> Any:
    """An array of a file, None where it has none of the name.

    Raises:
        BrokenFileError: for one whose numbers lie in another file.
    """
    if name not in place:
        return None
    try:
        return array(place, name)
    except TypeError as error:
        raise BrokenFileError(f"its {error}, no array of numbers") from None


def _as_scale(scale: Any) -> float | None:
    value = math.nan if scale is None else float(scale)
    return value if 0 < value < math.inf else None


def _check(path: Path, images: h5py.Dataset) -> None:
    """Refuse images that are not numbers, or that are far more than their file holds."""
    if images.dtype.kind not in "fiub":
        raise BrokenFileError(f"it holds {images.dtype.name}, not numbers")
    try:
        check_declared(path, [images], "get the whole file")
    except DamagedFileError as error:
        raise BrokenFileError(f"it {str(error).removeprefix(f'{path} ')}") from None
