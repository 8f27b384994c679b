"""Windows of images: the rectangles in which sources have light."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import pad

from lensphys.rendering import Pixels

#: Multiple to which the sides of windows are rounded up, so that few sizes occur, and the share of
#: an image from which on a window saves nothing.
_ROUNDED, _LARGEST = 8, 0.85


@dataclasses.dataclass(frozen=True)
class Window:
    """A rectangle of images of ``shape`` ``(ny, nx)``: its rows and columns."""

    rows: slice
    columns: slice
    shape: tuple[int, int]

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Window:
        """Window of all pixels."""
        return cls(slice(0, shape[0]), slice(0, shape[1]), shape)

    @property
    def is_whole(self) -> bool:
        """Tell if it holds all pixels."""
        return self == Window.whole(self.shape)

    def refine(self, factor: int) -> Window:
        """Window of the ``factor x factor`` rays of each of its pixels."""
        rows, columns = (
            slice(factor * at.start, factor * at.stop) for at in (self.rows, self.columns)
        )
        return Window(rows, columns, (factor * self.shape[0], factor * self.shape[1]))

    def cut(self, maps: Tensor) -> Tensor:
        """Cut the window out of maps ``(..., ny, nx)``."""
        return maps if self.is_whole else maps[..., self.rows, self.columns]

    def place(self, maps: Tensor) -> Tensor:
        """Place maps of the window in images that are 0 elsewhere."""
        if self.is_whole:
            return maps
        (ny, nx), rows, columns = self.shape, self.rows, self.columns
        return pad(maps, (columns.start, nx - columns.stop, rows.start, ny - rows.stop))


def find_window(lit: Tensor, pixels: Pixels) -> Window:
    """Find the smallest window that collects all light of the rays that are lit.

    Args:
        lit: mask of the rays, ``(..., Ny, Nx)``; those of all images count.
        pixels: of the images.
    """
    shape, reach = pixels.shape, pixels.reach
    whole = Window.whole(shape)
    if reach is None:
        return whole
    factor = lit.shape[-1] // shape[1]
    lit = lit.flatten(0, -3).any(0) if lit.ndim > 2 else lit
    sides = []
    for n, along in zip(shape, (lit.any(1), lit.any(0)), strict=True):
        at = torch.nonzero(along)[:, 0]
        first, last = (int(at[0]), int(at[-1])) if len(at) else (0, 0)
        low, high = first // factor - reach, last // factor + 1 + reach
        low, high = max(low, 0), min(high, n)
        high = min(low + -(-(high - low) // _ROUNDED) * _ROUNDED, n)
        low = max(high - -(-(high - low) // _ROUNDED) * _ROUNDED, 0)
        sides.append(slice(low, high))
    window = Window(sides[0], sides[1], shape)
    area = (window.rows.stop - window.rows.start) * (window.columns.stop - window.columns.start)
    return window if area < _LARGEST * shape[0] * shape[1] else whole
