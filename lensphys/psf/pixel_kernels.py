"""Kernels of point-spread functions as pixels: centred, and summed into wider pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lensphys.arrays import take_map
from lensphys.products import product


def centre_kernel(kernel: Any) -> tuple[Tensor, str | None]:
    """Bring the brightest pixel of a kernel into the middle of an odd number of pixels.

    The kernel grows by pixels without light where its peak is farther from the border, so that
    none of its light is lost. Whole pixels are shifted alone: a centroid beside the middle of the
    brightest pixel stays there, as real point-spread functions have it.

    Args:
        kernel: the light of a point source in pixels, a tensor or an array ``(ky, kx)`` of any
            size.

    Returns:
        The kernel, of odd sizes, with the sum that it had; and a note of the change, or None if
        there was none.

    Raises:
        ValueError: for a kernel of another shape, with values that are not finite, without a
            positive sum, or with its peak at the border, where it is cut off.
    """
    taken = take_map("kernel", kernel)
    if taken.ndim != 2 or not taken.numel():
        raise ValueError(f"kernel must be (ky, kx), got {tuple(taken.shape)}")
    check_light(taken)
    ny, nx = taken.shape
    row, column = divmod(int(taken.argmax()), nx)
    if any(n > 2 and at in (0, n - 1) for at, n in ((row, ny), (column, nx))):
        raise ValueError(
            f"kernel has its peak at the border, in row {row} and column {column} of {ny} x {nx} "
            "pixels; cut it out with its peak in the middle"
        )
    margin_y, margin_x = ny - 1 - 2 * row, nx - 1 - 2 * column
    if margin_y == 0 == margin_x:
        return taken, None
    # Pixels in front where the peak is in the first half, behind otherwise.
    sides = (max(margin_x, 0), max(-margin_x, 0), max(margin_y, 0), max(-margin_y, 0))
    centred = pad(taken, sides)
    note = (
        f"the kernel of {ny} x {nx} pixels had its peak in row {row} and column {column}; it was "
        f"padded to {centred.shape[0]} x {centred.shape[1]} pixels with the peak in the middle"
    )
    return centred, note


def check_light(kernel: Tensor, name: str = "kernel") -> list[float]:
    """Return the sum of each kernel ``(..., ky, kx)``, all of them positive.

    Raises:
        ValueError: for values that are not finite, and a sum that is not positive.
    """
    totals: list[float] = kernel.detach().double().sum((-2, -1)).reshape(-1).tolist()
    if not bool(torch.isfinite(kernel.detach()).all()):
        raise ValueError(f"{name} must be finite in every pixel")
    for total in totals:
        if total <= 0:
            raise ValueError(f"{name} must have a positive sum, got {total:g}")
    return totals


def degrade(kernel: Tensor, factor: int) -> Tensor:
    """Sum kernels ``(..., ky, kx)`` of odd sizes into pixels that are ``factor`` times wider.

    Both are centred on a pixel; a fine pixel on the border of two wide ones is shared out.
    """
    along_y, along_x = (
        share_pixels(n, factor).to(kernel.device, kernel.dtype) for n in kernel.shape[-2:]
    )
    return product(product(along_y, kernel), along_x.mT)


def find_reach(n: int, factor: int) -> int:
    """Pixels beside the central one over which ``n`` fine ones, ``factor`` a pixel, spread."""
    return -(-(2 * (n // 2) + 1 - factor) // (2 * factor)) if n > factor else 0


def share_pixels(n: int, factor: int) -> Tensor:
    """Share (m, n) of each of n fine pixels in each of m pixels ``factor`` times wider."""
    half, wide = n // 2, find_reach(n, factor)
    # In units of half a fine pixel all borders are whole numbers.
    fine = 2 * torch.arange(-half, half + 1)
    coarse = 2 * factor * torch.arange(-wide, wide + 1)[:, None]
    right = torch.minimum(fine + 1, coarse + factor)
    left = torch.maximum(fine - 1, coarse - factor)
    return 0.5 * (right - left).clamp_min(0).double()
