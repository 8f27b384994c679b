"""Directions and places on the sky of what was measured in pixels."""

from __future__ import annotations

import math

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

#: Pixels to both sides of a point over which a direction is followed.
_STEP = 0.5


class Sky:
    """The sky behind an image.

    Args:
        wcs: of the pixels of the image.
        shape: (ny, nx); half of it is the middle, from the edge of the first pixel.
        pixel_scale: arcsec.
    """

    def __init__(self, wcs: WCS, shape: tuple[float, float], pixel_scale: float) -> None:
        self._wcs, self._shape, self._pixel_scale = wcs, shape, pixel_scale

    def place(self, x: float = 0.0, y: float = 0.0) -> tuple[float, float]:
        """Right ascension and declination (ICRS, degrees) of a point, arcsec from the middle."""
        point = self._point(*self._pixel(x, y))
        return float(point.ra.deg), float(point.dec.deg)

    def position_angle(self, phi: float, x: float = 0.0, y: float = 0.0) -> float:
        """Position angle of an axis, degrees East of North, from 0 to 180.

        Args:
            phi: direction on the image, degrees from +x towards +y.
            x, y: place of the axis, arcsec from the middle of the image.
        """
        column, row = self._pixel(x, y)
        across = _STEP * math.cos(math.radians(phi))
        along = _STEP * math.sin(math.radians(phi))
        start = self._point(column - across, row - along)
        end = self._point(column + across, row + along)
        return float(start.position_angle(end).deg) % 180.0

    def direction(self, position_angle: float) -> tuple[float, float]:
        """Unit vector ``(x, y)`` on the image towards a position angle, degrees East of North."""
        column, row = self._pixel(0.0, 0.0)
        there = self._point(column, row).directional_offset_by(
            position_angle * u.deg, self._pixel_scale * u.arcsec
        )
        to_column, to_row = self._wcs.world_to_pixel(there)
        across, along = float(to_column) - column, float(to_row) - row
        length = math.hypot(across, along)
        return across / length, along / length

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        ny, nx = self._shape
        return (nx - 1) / 2 + x / self._pixel_scale, (ny - 1) / 2 + y / self._pixel_scale

    def _point(self, column: float, row: float) -> SkyCoord:
        return self._wcs.pixel_to_world(column, row).icrs


def find_sky(wcs: WCS | None, shape: tuple[float, float], pixel_scale: float) -> Sky | None:
    """The sky behind an image; None where its WCS gives no place on the sky.

    Args:
        wcs: of the pixels of the image; None: not known.
        shape: (ny, nx).
        pixel_scale: arcsec.
    """
    if wcs is None or not wcs.has_celestial:
        return None
    sky = Sky(wcs.celestial, shape, pixel_scale)
    # A header may hold a projection that does not reach the image.
    return sky if np.isfinite(sky.place()).all() else None
