"""Windows of images: the rectangles in which sources have light."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import pad

from lensphys.rendering import Pixels

#: Multiple to which the sides of windows are rounded up, so that few sizes occur; the share of an
#: image from which on a window saves nothing, and pixels of images in which none is sought.
_ROUNDED, _LARGEST, _SMALL = 8, 0.85, 80 * 80


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


def enclose(lit: Tensor, factor: int = 1, margin: int = 0) -> Window:
    """Find the smallest window that holds all rays that are lit, and a margin of pixels.

    Args:
        lit: mask of the rays, ``(..., Ny, Nx)``; those of all images count.
        factor: rays along a side of a pixel.
        margin: pixels beside those that are lit.
    """
    shape = lit.shape[-2] // factor, lit.shape[-1] // factor
    lit = lit.reshape(-1, *lit.shape[-2:]).any(0)
    sides = []
    for n, along in zip(shape, (lit.any(1), lit.any(0)), strict=True):
        at = torch.nonzero(along)[:, 0]
        first, last = (int(at[0]), int(at[-1])) if len(at) else (0, 0)
        low, high = max(first // factor - margin, 0), min(last // factor + 1 + margin, n)
        size = min(-(-(high - low) // _ROUNDED) * _ROUNDED, n)
        low = min(low, n - size)
        sides.append(slice(low, low + size))
    return Window(sides[0], sides[1], shape)


def find_window(lit: Tensor, pixels: Pixels) -> Window:
    """Find the smallest window of images that collects all light of the rays that are lit.

    Args:
        lit: mask of the rays, ``(..., Ny, Nx)``; those of all images count.
        pixels: of the images.
    """
    whole = Window.whole(pixels.shape)
    reach = pixels.reach
    if reach is None or not may_have_window(pixels):
        return whole
    window = enclose(lit, lit.shape[-1] // pixels.shape[1], reach)
    area = (window.rows.stop - window.rows.start) * (window.columns.stop - window.columns.start)
    return window if area < _LARGEST * pixels.shape[0] * pixels.shape[1] else whole


def may_have_window(pixels: Pixels) -> bool:
    """Tell if a window of images can save work: of large ones, whose PSF has a known reach."""
    return pixels.shape[0] * pixels.shape[1] > _SMALL and pixels.reach is not None
