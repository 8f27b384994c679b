"""FITS cutouts: the image of the sky, its pixel scale from the WCS, and its bad pixels."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from numpy.typing import NDArray

from lensphys.ground.errors import InputError
from simulate.importers.beside import find_flags
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.extensions import SCIENCE, Choice, choose_image, is_image, sky_images
from simulate.importers.flags import Bad, bad_pixels, flagged
from simulate.importers.keywords import kept_keywords
from simulate.importers.npy import image_shape, one_image
from simulate.importers.packed import MAX_UNPACKED, check_headers, open_packed
from simulate.importers.roles import split_extension
from simulate.importers.sky import find_wcs, pixel_widths


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
    note: str = ""
    """other images of the sky in the file that are not taken; empty where there are none"""


def read_header(path: Path, hdu: str | None = None) -> ImageHeader:
    """The header of the image in a FITS file; no pixel is read.

    Args:
        path: of the file, also as ``cutout.fits[EXTENSION]``.
        hdu: name or number of the extension to take.

    Raises:
        BrokenFileError: for a file that is damaged or has no image in one band.
    """
    path, named = split_extension(path)
    with opened_fits(path) as file:
        choice = choose_image(file, hdu or named)
        header = choice.image.header
        check_complete(choice.image)
        return ImageHeader(
            image_shape(choice.image.shape),
            pixel_widths(find_wcs(header)),
            _unit(header),
            _exposure_time(file, choice.image),
            choice.note,
        )


def read_fits(
    path: Path, hdu: str | None = None, remark: Callable[[str], None] | None = None
) -> NDArray[Any]:
    """The image (ny, nx) in a FITS file, NaN where its mask or weight calls a pixel bad.

    Args:
        path: of the file, also as ``cutout.fits[EXTENSION]``.
        hdu: name or number of the extension to take.
        remark: called with what could not be applied, and the bad pixels of a file beside it.

    Raises:
        BrokenFileError: for a file that is damaged or has no image in one band.
    """
    path, named = split_extension(path)
    with opened_fits(path) as file:
        choice = choose_image(file, hdu or named)
        image_shape(choice.image.shape)
        pixels, remarks = _good_pixels(path, file, choice)
        for line in remarks:
            if remark:
                remark(line)
        return one_image(pixels((slice(None),)))


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
    header: Callable[[], fits.Header]
    """keywords that stay true of other pixels"""
    note: str = ""
    """other images of the sky in the file that are not taken; empty where there are none"""
    remarks: tuple[str, ...] = ()
    """masks that are not applied, and those of files beside that are"""


@contextmanager
def opened_image(path: Path, hdu: str | None = None) -> Iterator[OpenImage]:
    """The image or cube in a FITS file, of which only the planes that are asked for are read.

    Args:
        path: of the file, also as ``cutout.fits[EXTENSION]``.
        hdu: name or number of the extension to take.

    Raises:
        BrokenFileError: for a file that is damaged or has no image.
    """
    path, named = split_extension(path)
    with opened_fits(path) as file:
        choice = choose_image(file, hdu or named)
        image = choice.image
        shape = tuple(image.shape)
        read, remarks = _good_pixels(path, file, choice)
        # Two axes, or a first one of length one: the whole.
        is_cube = len(shape) > 2 and shape[-1] != 1
        wcs = find_wcs(image.header)
        yield OpenImage(
            shape,
            pixel_widths(wcs),
            _unit(image.header),
            wcs,
            lambda index: read((index,) if is_cube else (slice(None),)),
            _exposure_time(file, image),
            lambda: kept_keywords(file, image),
            choice.note,
            tuple(remarks),
        )


def has_science(path: Path) -> bool:
    """True for a file of a science image and planes beside it; false for a broken one."""
    try:
        with opened_fits(path) as file:
            named = any(is_image(hdu) and hdu.name in SCIENCE for hdu in file)
            return named and len(sky_images(file)) < sum(is_image(hdu) for hdu in file)
    except (BrokenFileError, OSError):
        return False


@contextmanager
def opened_fits(path: Path) -> Iterator[fits.HDUList]:
    """A FITS file with all its extensions.

    Raises:
        BrokenFileError: for a file that is damaged, or that unpacks to too much.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            with open_packed(path) as source:
                check_headers(source)
                with fits.open(source, memmap=False) as file:
                    yield file
    except (BrokenFileError, InputError):
        raise
    except FileNotFoundError:
        raise BrokenFileError("there is no such file") from None
    except Exception as error:  # a damaged file makes astropy raise anything
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = escape(" ".join(str(error).split())) or type(error).__name__
        raise BrokenFileError(f"it cannot be read as FITS: {reason}") from None


def check_complete(image: Any) -> None:
    """Refuse an image that ends before its last pixel, or that unpacks to too much.

    Astropy may fill up a truncated one with zeros.

    Raises:
        BrokenFileError: for such an image.
    """
    size = math.prod(image.shape) * abs(int(image.header.get("BITPIX", 8))) // 8
    if isinstance(image, fits.CompImageHDU):
        if size > MAX_UNPACKED:
            raise BrokenFileError(
                f"its image unpacks to {size >> 20} MiB, more than {MAX_UNPACKED >> 20} MiB; "
                "cut images from it"
            )
        return  # decompression finds what is missing
    source: IO[bytes] = image._file._file
    place = source.tell()
    missing = image.fileinfo()["datLoc"] + size - source.seek(0, 2)
    source.seek(place)
    if missing > 0:
        raise BrokenFileError(f"it is truncated: {missing} bytes of its image are missing")


def _good_pixels(
    path: Path, file: fits.HDUList, choice: Choice
) -> tuple[Callable[[tuple[Any, ...]], NDArray[Any]], list[str]]:
    """A reader of parts of an image, NaN where a pixel is bad; and remarks on its masks."""
    bad, remarks = _bad_pixels(path, file, choice)

    def read(where: tuple[Any, ...]) -> NDArray[Any]:
        pixels = np.asarray(choice.image.section[where]).astype(np.float64)
        if bad is not None:
            pixels[bad[where]] = np.nan
        return pixels

    return read, remarks


def find_bad_pixels(file: fits.HDUList, choice: Choice) -> tuple[Bad | None, list[str]]:
    """Pixels that the planes of a file call bad; and remarks on planes that are not applied.

    Raises:
        BrokenFileError: for an image or a plane that is truncated.
    """
    for hdu in (choice.image, *(hdu for hdu, _ in choice.planes)):
        check_complete(hdu)
    return bad_pixels(choice.planes, tuple(choice.image.shape), _telescope(file, choice))


def _telescope(file: fits.HDUList, choice: Choice) -> str:
    return str(choice.image.header.get("TELESCOP") or file[0].header.get("TELESCOP", ""))


def _bad_pixels(path: Path, file: fits.HDUList, choice: Choice) -> tuple[Bad | None, list[str]]:
    """Pixels that planes of the file, or a mask in a file beside it, call bad; and remarks."""
    bad, remarks = find_bad_pixels(file, choice)
    beside = find_flags(path)
    if beside is None:
        return bad, remarks
    try:
        found = _read_flags(beside, tuple(choice.image.shape), _telescope(file, choice))
    except (BrokenFileError, OSError) as error:
        return bad, [*remarks, f"whose mask in a file beside is not applied: {error}"]
    remarks.append("whose mask in a file beside is applied")
    return found if bad is None else bad | found, remarks


def _read_flags(path: Path, shape: tuple[int, ...], telescope: str) -> Bad:
    with opened_fits(path) as file:
        images = [hdu for hdu in file if is_image(hdu)]
        if not images or tuple(images[0].shape)[-2:] != shape[-2:]:
            raise BrokenFileError("it has other pixels")
        check_complete(images[0])
        bad = flagged(np.asarray(images[0].data), images[0], telescope)
        if bad.mean() > 0.5:
            raise BrokenFileError("it marks more than half of the image")
        return np.broadcast_to(bad, shape)


def _unit(header: fits.Header) -> str | None:
    return str(header.get("BUNIT", "")).strip() or None


def _exposure_time(file: fits.HDUList, image: Any) -> float:
    """``EXPTIME`` in the header of the image, or in the first of the file; NaN where it is none."""
    for header in (image.header, file[0].header):
        value = header.get("EXPTIME")
        if isinstance(value, int | float) and 0 < value < math.inf:
            return float(value)
    return math.nan
