"""From a lens and a source to the image that a telescope takes of them."""

from __future__ import annotations

import math
from typing import Protocol

from torch import Tensor

from lensphys.grid import grid_spacing, is_regular
from lensphys.lens import ThinLens
from lensphys.light.base import LightProfile


class PSF(Protocol):
    """A point-spread function for images of one pixel scale."""

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel that the kernel is sampled for, arcsec."""

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``."""


def render(
    lens: ThinLens, source: LightProfile, x: Tensor, y: Tensor, *, psf: PSF | None = None
) -> Tensor:
    """Noise-free image of a lensed source, differentiable in all lens and source parameters.

    Args:
        lens: the deflectors.
        source: surface brightness in the source plane.
        x, y: pixel centres of a regular grid, arcsec, of shape ``(ny, nx)``; see
            :func:`lensphys.pixel_grid`.
        psf: point-spread function; none where not given.

    Returns:
        Flux per pixel (surface brightness at the pixel centre times pixel area), of shape
        ``(B, ny, nx)``, or ``(ny, nx)`` where nothing is batched.

    Raises:
        ValueError: for a grid that is not a regular one of square pixels, or a PSF that is sampled
            for another pixel scale than the grid has.
    """
    dx, dy = grid_spacing(x, y)
    if not math.isclose(dx, dy, rel_tol=1e-5) or dx <= 0 or not is_regular(x, y):
        raise ValueError(
            f"the grid must be regular and of square pixels, got {dx:g} x {dy:g} arcsec"
        )
    if psf is not None and not math.isclose(psf.pixel_scale, dx, rel_tol=1e-5):
        raise ValueError(
            f"psf.pixel_scale is {psf.pixel_scale:g} arcsec but the grid has pixels of {dx:g} "
            "arcsec; sample the PSF for the pixels of the grid"
        )
    beta_x, beta_y = lens.ray_trace(x, y)
    image = source.surface_brightness(beta_x, beta_y) * (dx * dy)
    return image if psf is None else psf.convolve(image)
