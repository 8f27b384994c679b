"""The data of one lens: its image with noise, PSF and place on the sky."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True, eq=False)
class LensData:
    """The image of one lens, in any unit, and what is known about it."""

    name: str
    image: NDArray[np.float64]
    """(ny, nx), flux per pixel; 0 where it is masked"""
    noise: NDArray[np.float64]
    """(ny, nx), standard deviation; infinite where a pixel is masked"""
    psf: NDArray[np.float64]
    """(ky, kx), both odd, on the pixels of the image; its sum is 1"""
    pixel_scale: float
    """arcsec"""
    z_lens: float | None = None
    z_source: float | None = None
    ra: float | None = None
    """degrees, of a catalogue; None: that of the middle of the image, if it has a WCS"""
    dec: float | None = None
    """degrees, likewise"""
    wcs: WCS | None = None
    """of the pixels of the image"""
    unit: str = ""
    """of the image and its noise; empty where it is not known"""
    notes: list[str] = dataclasses.field(default_factory=list)
    """remarks on what was taken from which file, and what was done to it"""

    def within(self, radius: float) -> LensData:
        """The data within a circle about the centre, cut to the smallest frame that holds it.

        Args:
            radius: of the circle, arcsec. Pixels of which the centre lies outside are masked.
        """
        ny, nx = self.image.shape
        half = math.ceil(radius / self.pixel_scale)
        # As many pixels are cut from both ends, so that the centre stays where it is.
        y, x = (max(0, n // 2 - half) for n in (ny, nx))
        rows, columns = slice(y, ny - y), slice(x, nx - x)
        image, noise = self.image[rows, columns].copy(), self.noise[rows, columns].copy()
        dy, dx = (np.arange(n) - (n - 1) / 2 for n in image.shape)
        outside = np.hypot(dy[:, None], dx) * self.pixel_scale > radius
        image[outside], noise[outside] = 0.0, np.inf
        wcs = None if self.wcs is None else self.wcs.deepcopy()
        if wcs is not None:
            wcs.wcs.crpix = wcs.wcs.crpix - np.array([x, y])
            wcs.array_shape = image.shape
        return dataclasses.replace(self, image=image, noise=noise, wcs=wcs)
