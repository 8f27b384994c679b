"""FITS cutouts: the image extension, its pixel scale from the WCS, and its bad pixels."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning
from astropy.wcs.utils import proj_plane_pixel_scales
from numpy.typing import NDArray

from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.npy import image_shape, one_image

_SCIENCE = ("SCI", "SCIENCE", "IMAGE")
_MASK = "MASK"
#: Planes of a mask that are named in its header (``MP_BAD``) and make a pixel useless. Others mark
#: detections, as Rubin's and Subaru's DETECTED, which covers every lens.
_BAD_PLANES = ("BAD", "NO_DATA", "SAT", "CR")


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """The header of an image, as far as it is needed."""

    shape: tuple[int, int]
    """(ny, nx)"""
    pixel_widths: tuple[float, float] | None
    """arcsec, along x and y; None without WCS"""
    unit: str | None
    exposure_time: float
    """s; NaN where it is not given"""


def read_header(path: Path) -> ImageHeader:
    """The header of the image in a FITS file; no pixel is read.

    Raises:
        BrokenFileError: for a file that is damaged or has no image in one band.
    """
    with _open(path) as file:
        image = _image(file)
        unit = str(image.header.get("BUNIT", "")).strip()
        widths, exposure = _pixel_widths(image.header), _exposure_time(file, image)
        return ImageHeader(image_shape(image.shape), widths, unit or None, exposure)


def read_fits(path: Path) -> NDArray[Any]:
    """The image (ny, nx) in a FITS file, NaN where its mask marks a bad pixel.

    Raises:
        BrokenFileError: for a file that is damaged or has no image in one band.
    """
    with _open(path) as file:
        image = _image(file)
        shape = image_shape(image.shape)
        _check_complete(path, image)
        bad = _bad_pixels(file, image.shape)
        pixels = one_image(np.asarray(image.data)).astype(np.float64)
        if bad is not None:
            pixels[bad.reshape(shape)] = np.nan
        return pixels


@dataclasses.dataclass(frozen=True)
class OpenImage:
    """The image, or cube of images, of a FITS file that is open."""

    shape: tuple[int, ...]
    pixel_widths: tuple[float, float] | None
    """arcsec, along x and y; None without WCS"""
    unit: str | None
    wcs: WCS | None
    """coordinates on the sky; None where the header has none"""
    plane: Callable[[int], NDArray[Any]]
    """one image of a cube, or all of it where it is one image; NaN where a pixel is bad"""
    exposure_time: float
    """s; NaN where it is not given"""


@contextmanager
def opened_image(path: Path) -> Iterator[OpenImage]:
    """The image or cube in a FITS file, of which only the planes that are asked for are read.

    Raises:
        BrokenFileError: for a file that is damaged or has no image.
    """
    with _open(path) as file:
        image = _image(file)
        _check_complete(path, image)
        shape = tuple(image.shape)
        bad = _bad_pixels(file, shape)

        def plane(index: int) -> NDArray[Any]:
            # Two axes, or a first one of length one: the whole.
            where = (index,) if len(shape) > 2 and shape[-1] != 1 else (slice(None),)
            pixels = np.asarray(image.section[where]).astype(np.float64)
            if bad is not None:
                pixels[bad[where]] = np.nan
            return pixels

        unit = str(image.header.get("BUNIT", "")).strip()
        widths = _pixel_widths(image.header)
        exposure = _exposure_time(file, image)
        yield OpenImage(shape, widths, unit or None, _celestial(image.header), plane, exposure)


@contextmanager
def _open(path: Path) -> Iterator[fits.HDUList]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(path, memmap=False) as file:
                yield file
    except BrokenFileError:
        raise
    except Exception as error:  # a damaged file makes astropy raise anything
        reason = escape(" ".join(str(error).split())) or type(error).__name__
        raise BrokenFileError(f"it cannot be read as FITS: {reason}") from None


def _image(file: fits.HDUList) -> Any:
    """The extension called SCI or IMAGE, else the first that holds an image."""
    images = [hdu for hdu in file if hdu.is_image and len(hdu.shape) >= 2]
    named = [hdu for hdu in images if hdu.name in _SCIENCE]
    if not images:
        raise BrokenFileError("it has no image extension")
    return (named or images)[0]


def _check_complete(path: Path, image: Any) -> None:
    """Refuse an image that ends before its last pixel; astropy may fill it up with zeros."""
    if path.name.lower().endswith(".gz") or isinstance(image, fits.CompImageHDU):
        return  # their decompression finds it
    missing = image.fileinfo()["datLoc"] + image.size - path.stat().st_size
    if missing > 0:
        raise BrokenFileError(f"it is truncated: {missing} bytes of its image are missing")


def _bad_pixels(file: fits.HDUList, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    for hdu in file:
        if hdu.name != _MASK or not hdu.is_image or tuple(hdu.shape) != tuple(shape):
            continue
        mask = np.asarray(hdu.data)
        named = any(str(key).startswith("MP_") for key in hdu.header)
        if not named or mask.dtype.kind not in "iu":
            return np.asarray(mask != 0)
        planes = [hdu.header[f"MP_{name}"] for name in _BAD_PLANES if f"MP_{name}" in hdu.header]
        bits = sum(1 << int(plane) for plane in planes)
        return np.asarray((mask.astype(np.int64) & bits) != 0)
    return None


def _exposure_time(file: fits.HDUList, image: Any) -> float:
    """``EXPTIME`` in the header of the image, or in the first of the file; NaN where it is none."""
    for header in (image.header, file[0].header):
        value = header.get("EXPTIME")
        if isinstance(value, int | float) and 0 < value < math.inf:
            return float(value)
    return math.nan


def _pixel_widths(header: fits.Header) -> tuple[float, float] | None:
    wcs = _celestial(header)
    # Without these, pixels would be one degree wide.
    says_how_large = any(key in header for key in ("CD1_1", "CD1_2", "CDELT1"))
    if wcs is None or not says_how_large:
        return None
    x, y = (float(scale) * 3600 for scale in proj_plane_pixel_scales(wcs))
    if not (np.isfinite([x, y]).all() and min(x, y) > 0):
        raise BrokenFileError("its WCS gives no pixel scale")
    return x, y


def _celestial(header: fits.Header) -> WCS | None:
    """The axes of the sky, None where a header has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        wcs = WCS(header)
    return wcs.celestial if wcs.has_celestial else None
