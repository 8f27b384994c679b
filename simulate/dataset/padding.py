"""Padding around images that are smaller than those of their data set: columns, and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulate.shards import DataSet

#: Columns with the pixels of padding at each edge of an image; the first row is at the bottom.
COLUMNS = ("padding_left", "padding_right", "padding_bottom", "padding_top")

#: Pixels on a side from which padding is masked in lens fits: fewer do not constrain a lens, once
#: two by two of them are summed.
LEAST = 12


def read_padding(params: Mapping[str, NDArray[np.float64]]) -> NDArray[np.int64] | None:
    """Read the padding (N, 4) of images from their columns; None where no image has any.

    Args:
        params: columns (N,) of a data set.

    Returns:
        Pixels at the left, right, lower and upper edge.
    """
    if any(name not in params for name in COLUMNS):
        return None
    padding = np.stack([params[name] for name in COLUMNS], 1)
    # NaN, where a column does not apply, and what a stranger's file holds.
    whole = np.nan_to_num(padding).clip(0, 2**31).astype(np.int64)
    return whole if whole.any() else None


def find_shown(padding: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask (N, ny, nx) of the pixels that show the sky, from the padding (N, 4) of N images.

    Padding that leaves nothing, as in a stranger's file, counts as none: an image shows a pixel.
    """
    ny, nx = shape
    left, right, bottom, top = (padding * leaves_pixels(padding, shape)[:, None]).T[..., None]
    x, y = np.arange(nx), np.arange(ny)
    columns, rows = (x >= left) & (x < nx - right), (y >= bottom) & (y < ny - top)
    shown: NDArray[np.bool_] = rows[:, :, None] & columns[:, None]
    return shown


def count_padded(padding: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.int64]:
    """Count the pixels (N,) of padding of images of this shape."""
    ny, nx = shape
    left, right, bottom, top = (padding * leaves_pixels(padding, shape)[:, None]).T
    padded: NDArray[np.int64] = ny * nx - (nx - left - right) * (ny - bottom - top)
    return padded


def leaves_pixels(padding: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which images of this shape show a pixel, from their padding (N, 4)."""
    left, right, bottom, top = padding.T
    ny, nx = shape
    shows: NDArray[np.bool_] = (left + right < nx) & (bottom + top < ny)
    return shows


def check_padding(padding: Any, count: int) -> NDArray[np.int64]:
    """The padding (N, 4) of N images as whole numbers.

    Raises:
        ValueError: for numbers that are not whole, negative ones, or another shape.
    """
    given = np.asarray(padding)
    if given.shape != (count, 4):
        raise ValueError(f"padding must have the shape {(count, 4)}, got {given.shape}")
    # NaN is not equal to itself, and what is no number is not a kind of these.
    if given.dtype.kind not in "iuf" or not ((given >= 0) & (given == np.floor(given))).all():
        raise ValueError("padding must be whole numbers of pixels, from zero on")
    return given.astype(np.int64)


def mark_padding(
    data: DataSet, rows: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.float32]:
    """Images (N, 1, H, W) of a data set, NaN where they are padding.

    They are for statistics, which padding must not enter; no network sees them.

    Args:
        data: the data set.
        rows: indices of images.
    """
    images = data.image[rows]
    padding = read_padding({name: values[rows] for name, values in data.params.items()})
    if padding is None:
        return images
    ny, nx = images.shape[-2:]
    return np.where(find_shown(padding, (ny, nx))[:, None], images, np.float32(np.nan))
