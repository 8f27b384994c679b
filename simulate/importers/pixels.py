"""Pixels of the images to import: cropped or padded, and without bad ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError
from simulate.importers.framing import by, overlap
from simulate.importers.layouts import Entry, Source
from simulate.importers.survey import Form, read_pixels

#: A larger value is no flux in any unit.
_LARGEST = 1e30


class Imported(NamedTuple):
    """An image as a data set has it."""

    images: list[NDArray[np.float32]]
    """the image, and behind it that of low resolution in a layout of pairs"""
    mass: float
    """axion mass, eV; NaN where it has none"""
    bad: int
    """pixels that had to be filled"""
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """pixels around it, in the order of :data:`simulate.dataset.padding.COLUMNS`"""


def read_entry(
    source: Source, entry: Entry, form: Form, config: ImportConfig, remark: Callable[[str], None]
) -> Imported:
    """Read an image, at both resolutions in a layout of pairs.

    Raises:
        BrokenFileError: for files that cannot be imported.
    """
    if entry.name in form.broken:
        raise BrokenFileError(form.broken[entry.name])
    high, mass = read_pixels(source, entry.name, remark)
    if mass <= 0 or math.isinf(mass):
        raise BrokenFileError(f"its axion mass is {mass:g} eV")
    _check_shape(high, form, config)
    if not form.factor:
        image, bad, padding = frame_pixels(high, form.size, config.fill)
        return Imported([image], mass, bad, padding)
    assert entry.low is not None  # the survey has found those without
    low, _ = read_pixels(source, entry.low, remark)
    if any(a != b * form.factor for a, b in zip(high.shape, low.shape, strict=True)):
        raise BrokenFileError(f"its partner has {low.shape[0]} x {low.shape[1]} pixels")
    pair = _crop_pair(high, low, form.size, form.factor)
    whole = [fill_bad_pixels(image, config.fill) for image in pair]
    return Imported([image for image, _ in whole], mass, whole[0][1])


def _check_shape(image: NDArray[Any], form: Form, config: ImportConfig) -> None:
    framing = form.framing
    # One .npy file can stand for all of its size in bytes; what differs from it is broken.
    if framing.padded:
        if image.shape not in framing.shapes:
            raise BrokenFileError(
                f"it has {image.shape[0]} x {image.shape[1]} pixels, as none of the others has"
            )
    elif config.size is None and framing.shape is not None:
        if image.shape != framing.shape:
            raise BrokenFileError(
                f"it has {image.shape[0]} x {image.shape[1]} pixels, the others {by(framing.shape)}"
            )
    elif min(image.shape) < form.size:
        raise BrokenFileError(
            f"it has {image.shape[0]} x {image.shape[1]} pixels, the others at least "
            f"{by((form.size, form.size))}"
        )


def frame_pixels(
    image: NDArray[Any], size: int, fill: str
) -> tuple[NDArray[np.float32], int, tuple[int, int, int, int]]:
    """An image cropped or padded about its centre, see :func:`overlap`, with finite pixels.

    Args:
        image: (ny, nx) of any kind of number.
        size: pixels on a side.
        fill: value of bad pixels and of padding: ``median`` of the good pixels that are shown, or
            ``zero``.

    Returns:
        The image, the number of its bad pixels, and its padding at the left, right, lower and upper
        edge. Padding does not count as bad.

    Raises:
        BrokenFileError: for an image without a good pixel.
    """
    (rows, to_rows), (columns, to_columns) = (overlap(n, size) for n in image.shape)
    pixels, bad = fill_bad_pixels(image[rows, columns], fill)
    if pixels.shape == (size, size):
        return pixels, bad, (0, 0, 0, 0)
    whole = np.full((size, size), np.median(pixels) if fill == "median" else 0.0, np.float32)
    whole[to_rows, to_columns] = pixels
    right, top = size - to_columns.stop, size - to_rows.stop
    return whole, bad, (to_columns.start, right, to_rows.start, top)


def _crop_pair(high: NDArray[Any], low: NDArray[Any], size: int, factor: int) -> list[NDArray[Any]]:
    """Both cropped to the same field: to whole pixels of the low resolution."""
    y, x = (overlap(n, size // factor)[0] for n in low.shape)
    fine = tuple(slice(part.start * factor, part.stop * factor) for part in (y, x))
    return [high[fine], low[y, x]]


def fill_bad_pixels(image: NDArray[Any], fill: str) -> tuple[NDArray[np.float32], int]:
    """The image with finite pixels, and how many had to be filled.

    Args:
        image: (ny, nx) of any kind of number.
        fill: ``median`` of the good pixels, or ``zero``.

    A value beyond 1e30 is no flux but marks a bad pixel, as IRAF's 1.6e38 does.

    Raises:
        BrokenFileError: for an image without a good pixel.
    """
    with np.errstate(over="ignore"):
        pixels = image.astype(np.float32)
        good = np.abs(pixels) < _LARGEST
    if good.all():
        return pixels, 0
    if not good.any():
        raise BrokenFileError("it has no good pixel")
    pixels[~good] = np.median(pixels[good]) if fill == "median" else 0.0
    return pixels, int(np.count_nonzero(~good))
