"""Planes of FITS files beside an image: noise maps, weights, masks and PSFs, with their headers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.extensions import Choice, choose_image, image_role, is_image
from simulate.importers.fits import check_complete, opened_fits
from simulate.importers.flags import flagged
from simulate.importers.npy import one_image
from simulate.importers.roles import split_extension
from simulate.importers.sky import find_wcs, pixel_widths

#: Keywords that give the width of a pixel, arcsec, apart from a WCS.
_SCALES = (
    "PIXSCALE", "PIXSCAL1", "PIXSCAL", "PIXELSCL", "PIXSIZE", "SECPIX", "SECPIX1", "PIXEL_SCALE",
    "D001SCAL",
)  # fmt: skip
#: Keywords that give the redshifts of a lens and of its source.
_REDSHIFTS = (("Z_LENS", "ZLENS"), ("Z_SOURCE", "ZSOURCE", "Z_SRC", "ZSRC"))
#: A larger redshift is none of a galaxy.
_FARTHEST = 30.0
#: Relative, of two widths of pixels that count as equal.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Plane:
    """One plane of a file."""

    values: NDArray[np.float64]
    """(ny, nx)"""
    label: str
    """the file and its extension, for messages: ``lens.fits[ERR]``"""
    name: str
    """what names its role: that of the extension, else that of the file"""
    unit: str | None
    pixel_scale: float | None
    """arcsec; None where its headers do not give one"""
    note: str = ""
    """other planes that may have been meant; empty where there are none"""


def read_plane(path: Path, *roles: str) -> Plane:
    """Read the plane of a file, the only one, or the first one of some roles.

    Args:
        path: of the file, also as ``lens.fits[ERR]``.
        roles: those of the wanted plane, the first one first, where the file has several.

    Raises:
        BrokenFileError: for a file that is damaged or has no such plane.
    """
    with _opened(path) as (file, named):
        images = [hdu for hdu in file if is_image(hdu)]
        if named or not images:
            return _read(path, file, choose_image(file, named).image)
        fit = [hdu for role in roles for hdu in images if image_role(hdu) == role] or images
        note = ""
        if len(images) > 1:
            others = [_label(file, hdu) for hdu in images if hdu is not fit[0]]
            shown = ", ".join(others[:4]) + (", ..." if len(others) > 4 else "")
            note = f"from {_label(file, fit[0])} of {escape(path.name)}; not taken: {shown}"
        return dataclasses.replace(_read(path, file, fit[0]), note=note)


def read_inside(path: Path, hdu: str | None, *roles: str) -> list[Plane]:
    """Read the planes of some roles that a file holds beside its image.

    Args:
        path: of the file, also as ``lens.fits[SCI]``.
        hdu: name or number of the extension with the image.
        roles: those of the wanted planes, the first one first.

    Raises:
        BrokenFileError: for a file that is damaged or has no image.
    """
    with _opened(path) as (file, named):
        choice = choose_image(file, named or hdu)
        return [
            _read(path, file, plane)
            for role in roles
            for plane, own in choice.planes
            if own == role
        ]


def read_mask(path: Path) -> tuple[NDArray[np.bool_], str]:
    """Read the bad pixels (ny, nx) that a mask marks, and what names it in messages.

    Any value but 0 is bad, or those of the bits that mean it.

    Raises:
        BrokenFileError: for a file that is damaged or holds no image.
    """
    from simulate.importers.roles import MASK

    with _opened(path) as (file, named):
        images = [hdu for hdu in file if is_image(hdu)]
        masks = [hdu for hdu in images if image_role(hdu) == MASK] or images
        hdu = choose_image(file, named).image if named or not masks else masks[0]
        check_complete(hdu)
        telescope = str(hdu.header.get("TELESCOP") or file[0].header.get("TELESCOP", ""))
        bad = flagged(one_image(np.asarray(hdu.data)), hdu, telescope)
        return bad, _name_plane(path, file, hdu)


def find_header_scale(path: Path, hdu: str | None) -> float | None:
    """The pixel scale, arcsec, that keywords of an image give apart from a WCS; None without.

    Raises:
        BrokenFileError: for a file that is damaged or has no image.
    """
    with _opened(path) as (file, named):
        choice: Choice = choose_image(file, named or hdu)
        return _header_scale(file, choice.image)


def find_header_redshifts(path: Path, hdu: str | None) -> tuple[float | None, float | None]:
    """The redshifts of lens and source that keywords of an image give; None without.

    Both are None where the source would lie before the lens.

    Raises:
        BrokenFileError: for a file that is damaged or has no image.
    """
    with _opened(path) as (file, named):
        choice: Choice = choose_image(file, named or hdu)
        lens, source = (_header_number(file, choice.image, keys, _FARTHEST) for keys in _REDSHIFTS)
    return (None, None) if lens and source and lens >= source else (lens, source)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[fits.HDUList, str | None]]:
    """A FITS file, and the extension that is named with it."""
    file, named = split_extension(path)
    try:
        with opened_fits(file) as hdus:
            yield hdus, named
    except BrokenFileError as error:
        raise BrokenFileError(f"{escape(file.name)}: {error}") from None
    except OSError as error:
        reason = error.strerror or error
        raise BrokenFileError(f"{escape(file.name)} cannot be read: {reason}") from None


def _read(path: Path, file: fits.HDUList, hdu: Any) -> Plane:
    check_complete(hdu)
    values = one_image(np.asarray(hdu.data).astype(np.float64))
    widths = pixel_widths(find_wcs(hdu.header))
    scale = math.sqrt(widths[0] * widths[1]) if widths else _header_scale(file, hdu)
    kind = str(hdu.header.get("EXTTYPE", "")).strip()
    own = "" if hdu.name == "PRIMARY" else hdu.name
    return Plane(
        values,
        _name_plane(path, file, hdu),
        kind or own or split_extension(path)[0].name,
        str(hdu.header.get("BUNIT", "")).strip() or None,
        scale,
    )


def _header_scale(file: fits.HDUList, hdu: Any) -> float | None:
    return _header_number(file, hdu, _SCALES)


def _header_number(
    file: fits.HDUList, hdu: Any, keys: Sequence[str], below: float = math.inf
) -> float | None:
    """The first number above 0 and below another of some keywords; None without."""
    for header in (hdu.header, file[0].header):
        for key in keys:
            value = header.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                continue
            try:
                number = float(value)
            except ValueError:
                continue
            if 0 < number < below:
                return number
    return None


def _label(file: fits.HDUList, hdu: Any) -> str:
    return escape(hdu.name) if hdu.name else f"extension {file.index(hdu)}"


def _name_plane(path: Path, file: fits.HDUList, hdu: Any) -> str:
    name = escape(split_extension(path)[0].name)
    several = sum(is_image(each) for each in file) > 1
    return f"{name}[{escape(hdu.name) or file.index(hdu)}]" if several else name
