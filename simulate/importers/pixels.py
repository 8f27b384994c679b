"""Pixels of the images to import: cropped, and without bad ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError
from simulate.importers.layouts import Entry, Source
from simulate.importers.survey import Form, read_pixels

#: A larger value is no flux in any unit.
_LARGEST = 1e30


def read_entry(
    source: Source, entry: Entry, form: Form, config: ImportConfig, remark: Callable[[str], None]
) -> tuple[list[NDArray[np.float32]], float, int]:
    """The image, at both resolutions in a layout of pairs, its axion mass, and its bad pixels.

    Raises:
        BrokenFileError: for files that cannot be imported.
    """
    if entry.name in form.broken:
        raise BrokenFileError(form.broken[entry.name])
    high, mass = read_pixels(source, entry.name, remark)
    if mass <= 0 or math.isinf(mass):
        raise BrokenFileError(f"its axion mass is {mass:g} eV")
    if not form.factor:
        _check_shape(high, form, config)
        images = [_crop(high, form.size)]
    else:
        assert entry.low is not None  # the survey has found those without
        low, _ = read_pixels(source, entry.low, remark)
        _check_shape(high, form, config)
        if any(a != b * form.factor for a, b in zip(high.shape, low.shape, strict=True)):
            raise BrokenFileError(f"its partner has {low.shape[0]} x {low.shape[1]} pixels")
        images = _crop_pair(high, low, form.size, form.factor)
    whole = [fill_bad_pixels(image, config.fill) for image in images]
    return [image for image, _ in whole], mass, whole[0][1]


def _check_shape(image: NDArray[Any], form: Form, config: ImportConfig) -> None:
    fits_in = min(image.shape) >= form.size if config.size else image.shape == form.shape
    if not fits_in:
        raise BrokenFileError(
            f"it has {image.shape[0]} x {image.shape[1]} pixels, the others {form.shape[0]} x "
            f"{form.shape[1]}"
        )


def _crop(image: NDArray[Any], size: int) -> NDArray[Any]:
    y, x = ((n - size) // 2 for n in image.shape)
    return image[y : y + size, x : x + size]


def _crop_pair(high: NDArray[Any], low: NDArray[Any], size: int, factor: int) -> list[NDArray[Any]]:
    """Both cropped to the same field: to whole pixels of the low resolution."""
    side = size // factor
    y, x = ((n - side) // 2 for n in low.shape)
    top, left = y * factor, x * factor
    return [high[top : top + size, left : left + size], low[y : y + side, x : x + side]]


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
