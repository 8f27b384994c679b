""".npy files: plain arrays, and the object arrays ``[image, mass]`` of DeepLenseSim."""

from __future__ import annotations

import functools
import io
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from simulate.importers.errors import BrokenFileError
from simulate.importers.packed import check_regular
from simulate.importers.pickled import read_image_and_mass

#: An image of more pixels is no cutout.
MAX_PIXELS = 4096**2
#: So many pixels in double precision, and a header.
_MAX_BYTES = 8 * MAX_PIXELS + 65536
#: Bytes of a header; that of a plain array has about a hundred.
_MAX_HEADER = 10_000
_MAGIC = b"\x93NUMPY"


def read_npy(path: Path) -> tuple[NDArray[Any], float]:
    """One image (ny, nx) and the axion mass in eV, NaN where the file has none.

    Nothing in the file is executed. An array (1, ny, nx) or (ny, nx, 1) is an image too.

    Raises:
        BrokenFileError: for a file that is damaged, too large, or holds anything else.
    """
    check_regular(path)
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _MAX_BYTES:
            raise BrokenFileError(f"it has more than {_MAX_BYTES} bytes, too many for one image")
        shape, fortran, dtype, start = _header(file.read(_MAX_HEADER + 12))
        if dtype.kind != "O":
            _check_size(shape, dtype, size - start)
            image_shape(shape)
        file.seek(0)
        data = file.read()
    if dtype.kind == "O":
        if shape != (2,):
            raise BrokenFileError(f"it holds an object array of shape {shape}, not [image, mass]")
        pixels, mass = read_image_and_mass(data[start:])
    else:
        pixels = np.frombuffer(data, dtype, offset=start)
        pixels = pixels.reshape(shape, order="F" if fortran else "C")
        mass = math.nan
    return one_image(pixels), mass


def map_npy(path: Path) -> NDArray[Any] | None:
    """The array of numbers in a file, of which only the parts that are used are read.

    None for an object array.

    Raises:
        BrokenFileError: for a file that is damaged, truncated or holds no numbers.
    """
    check_regular(path)
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        shape, fortran, dtype, start = _header(file.read(_MAX_HEADER + 12))
    if dtype.kind == "O":
        return None
    _check_size(shape, dtype, size - start)
    if not math.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, order="F" if fortran else "C")


def read_shape(path: Path) -> tuple[int, int] | None:
    """(ny, nx) of the image in a file, by its header; None for an object array, which has none.

    Raises:
        BrokenFileError: for a file that is damaged, truncated or holds no image.
    """
    pixels = map_npy(path)
    return None if pixels is None else image_shape(pixels.shape)


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], there: int) -> None:
    """Refuse an array that is not of numbers, or of other size than its file."""
    if dtype.kind not in "fiub":
        raise BrokenFileError(f"it holds {dtype.name}, not numbers")
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != there:
        raise BrokenFileError(
            f"its header claims {claimed} bytes of pixels, it has {there}: damaged or truncated"
        )


def one_image(pixels: NDArray[Any]) -> NDArray[Any]:
    """An array (ny, nx), (1, ny, nx) or (ny, nx, 1) as (ny, nx).

    Raises:
        BrokenFileError: for any other shape, or too many pixels.
    """
    shape = image_shape(pixels.shape)
    return pixels.reshape(shape)


def image_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """(ny, nx) of an array of one image.

    Raises:
        BrokenFileError: for an array of any other shape, or too many pixels.
    """
    plane = shape
    if len(shape) == 3 and 1 in (shape[0], shape[-1]):
        plane = shape[1:] if shape[0] == 1 else shape[:2]
    if len(plane) != 2 or min(plane) < 2:
        text = " x ".join(map(str, shape)) or "one number"
        raise BrokenFileError(f"it holds an array of {text}, not one image in one band")
    if math.prod(plane) > MAX_PIXELS:
        raise BrokenFileError(
            f"it is {plane[0]} x {plane[1]} pixels; cut images of up to {MAX_PIXELS} pixels from it"
        )
    return plane[0], plane[1]


def planes(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Number of images in an array, and (ny, nx) of each.

    Raises:
        BrokenFileError: for an array of any other form.
    """
    if len(shape) == 4 and shape[1] == 1:
        return shape[0], image_shape(shape[2:])
    if len(shape) == 3 and shape[2] != 1:
        return shape[0], image_shape(shape[1:])
    return 1, image_shape(shape)


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran's order, data type, and where the data start."""
    if not data.startswith(_MAGIC):
        raise BrokenFileError("it is not an .npy file" if data else "it is empty")
    width = {b"\x01\x00": 2, b"\x02\x00": 4}.get(data[6:8])
    if width is None:
        raise BrokenFileError("it has an .npy format that no plain array needs")
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if len(data) < start or start > _MAX_HEADER:
        raise BrokenFileError("its header is damaged or truncated")
    return *_parse_header(data[:start]), start


@functools.lru_cache(maxsize=256)
def _parse_header(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """A header as numpy reads it; thousands of files share one."""
    file = io.BytesIO(header)
    try:
        version = npy_format.read_magic(file)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on escapes in its text
            shape, fortran, dtype = read(file)
    except Exception:  # numpy parses Python text here, and a damaged one can raise anything
        raise BrokenFileError("its header is damaged") from None
    if not all(n >= 0 for n in shape):
        raise BrokenFileError("its header is damaged")
    return shape, fortran, dtype
