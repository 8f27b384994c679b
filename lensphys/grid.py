"""Pixel grids in arcsec, symmetric about the optical axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensphys.parameters import check_width


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


def grid_spacing(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Spacing ``(dx, dy)`` in arcsec of a regular grid of at least two pixels a side.

    Raises:
        ValueError: for a grid of fewer than two pixels a side.
    """
    ny, nx = x.shape[-2:]
    if ny < 2 or nx < 2:
        raise ValueError(f"a grid needs at least 2 pixels a side to have a spacing, got {(ny, nx)}")
    # The whole width divided by its pixels: the float32 rounding of one coordinate then averages
    # out, where the difference of two neighbours would lose two digits.
    dx = (x[..., 0, -1] - x[..., 0, 0]).double().flatten()[0].item() / (nx - 1)
    dy = (y[..., -1, 0] - y[..., 0, 0]).double().flatten()[0].item() / (ny - 1)
    return dx, dy


def is_regular(x: Tensor, y: Tensor) -> bool:
    """Tell if rows and columns run along ``x`` and ``y`` in even steps (to 1e-3 of a pixel)."""
    with torch.no_grad():
        dx, dy = grid_spacing(x, y)
        i = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        j = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
        off_x = (x - x[..., :1, :1] - i * dx).abs().amax()
        off_y = (y - y[..., :1, :1] - j[:, None] * dy).abs().amax()
        return bool(torch.maximum(off_x, off_y) <= 1e-3 * abs(dx))
