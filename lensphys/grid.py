"""Pixel grids in arcsec, symmetric about the optical axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensphys.parameters import check_width

#: Largest rounding of a position, in pixels.
_MOST_ROUNDING = 0.1


def pixel_grid(
    shape: int | tuple[int, int],
    pixel_scale: float,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """Coordinates of the pixel centres.

    Args:
        shape: number of pixels on a side, or ``(ny, nx)``.
        pixel_scale: width of a pixel, arcsec.
        dtype, device: of the result; torch's by default.

    Returns:
        ``x`` and ``y``, arcsec, each of shape ``(ny, nx)``; pixel ``i`` of ``n`` sits at
        ``(i - (n - 1) / 2) * pixel_scale``, so that the grid is symmetric about 0.

    Raises:
        ValueError: for a grid that has no whole number of pixels, or a pixel scale that is not
            positive and finite.
    """
    sides = tuple(shape) if isinstance(shape, Sequence) else (shape, shape)
    whole = [isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sides]
    if len(sides) != 2 or not all(whole):
        raise ValueError(f"shape must be a whole number of pixels or two, (ny, nx), got {shape!r}")
    ny, nx = sides
    if ny < 1 or nx < 1:
        raise ValueError(f"shape must have at least one pixel a side, got {(ny, nx)}")
    check_width("pixel_scale", pixel_scale)
    # Computed in float64 and rounded once, so that float32 coordinates carry half an ulp at most.
    x = (torch.arange(nx, dtype=torch.float64) - (nx - 1) / 2) * pixel_scale
    y = (torch.arange(ny, dtype=torch.float64) - (ny - 1) / 2) * pixel_scale
    grid_x, grid_y = torch.meshgrid(x, y, indexing="xy")
    dtype = dtype or torch.get_default_dtype()
    return grid_x.to(device, dtype), grid_y.to(device, dtype)


def measure_pixels(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Width of the square pixels of a regular grid, arcsec, and its relative precision.

    Far from 0 float32 rounds positions, at 1e4 arcsec by 1% of a pixel of 0.05 arcsec: a grid has
    to be as regular as that allows.

    Raises:
        ValueError: for a grid of fewer than two pixels a side, one that is not regular or not of
            square pixels, and one whose positions are rounded by more than a tenth of a pixel.
    """
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(
            f"an image needs a grid (ny, nx) of positions, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    ny, nx = x.shape[-2:]
    if ny < 2 or nx < 2:
        raise ValueError(f"a grid needs at least 2 pixels a side to have a spacing, got {(ny, nx)}")
    with torch.no_grad():
        ends_x = x[..., 0, :: nx - 1].reshape(-1, 2).tolist()
        ends_y = y[..., :: ny - 1, 0].reshape(-1, 2).tolist()
    # The whole width divided by its pixels: the float32 rounding of one coordinate then averages
    # out, where the difference of two neighbours would lose two digits.
    dx = (ends_x[0][1] - ends_x[0][0]) / (nx - 1)
    dy = (ends_y[0][1] - ends_y[0][0]) / (ny - 1)
    farthest = max(abs(at) for ends in (*ends_x, *ends_y) for at in ends)
    rounding = 0.5 * torch.finfo(x.dtype).eps * farthest
    widest = max(abs(dx), abs(dy))
    if 0 < _MOST_ROUNDING * widest < rounding < math.inf:
        raise ValueError(
            f"{x.dtype} rounds positions at {farthest:g} arcsec by up to {rounding:.2g} arcsec, "
            f"too much for pixels of {widest:g} arcsec; give the grid in float64, or from the "
            "centre of the image"
        )
    precision = 1e-5 + 2 * rounding / (widest * (min(ny, nx) - 1)) if widest else 0.0
    square = dx > 0 and math.isclose(dx, dy, rel_tol=precision)
    if not (square and _is_regular(x, y, dx, dy, rounding)):
        raise ValueError(
            f"the grid must be regular and of square pixels, got {dx:g} x {dy:g} arcsec"
        )
    return dx, precision


def _is_regular(x: Tensor, y: Tensor, dx: float, dy: float, rounding: float) -> bool:
    """Tell if rows and columns run along ``x`` and ``y`` in even steps (to 1e-3 of a pixel)."""
    with torch.no_grad():
        i = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        j = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
        off_x = (x - x[..., :1, :1] - i * dx).abs().amax()
        off_y = (y - y[..., :1, :1] - j[:, None] * dy).abs().amax()
        # Both positions of a difference are rounded, and so are those that the spacing is from.
        # A list, since torch.compile warns of each single number that it has to wait for.
        (farthest,) = torch.maximum(off_x, off_y)[None].tolist()
        return bool(farthest <= 1e-3 * dx + 4 * rounding)
