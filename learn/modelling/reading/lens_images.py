"""Images of lenses with noise, PSF, mask and pixel scale, read from FITS files and checked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from learn.modelling.lens_data import LensData
from learn.modelling.reading.kernels import make_kernel
from learn.modelling.reading.lens_files import LensFiles
from learn.modelling.reading.noise_maps import find_noise
from learn.modelling.reading.planes import (
    TOLERANCE,
    Plane,
    find_header_redshifts,
    find_header_scale,
    read_inside,
    read_mask,
    read_plane,
)
from learn.modelling.settings import ModelSettings
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.fits import opened_image
from simulate.importers.npy import image_shape
from simulate.importers.roles import NOISE, PSF, WEIGHT, split_extension

#: A larger value is no flux in any unit.
_LARGEST = 1e30
#: Pixels that a model needs at the least.
_LEAST = 200


def read_lens(files: LensFiles, settings: ModelSettings) -> LensData:
    """Read and check the data of one lens.

    Args:
        files: of the lens, and what a catalogue gives.
        settings: extension and pixel scale where nothing else gives them.

    Raises:
        BrokenFileError: for files that cannot be read, do not belong together, or leave too few
            pixels.
    """
    if files.fault:
        raise BrokenFileError(files.fault)
    image, unit, wcs, scale, notes = _read_image(files, settings)
    plane, more = _find_plane(files.noise, files, settings, NOISE, WEIGHT)
    notes += more
    noise, more = find_noise(plane, image, unit)
    notes += more
    bad = ~(np.abs(image) < _LARGEST) | np.isinf(noise)
    marked = ""
    if files.mask is not None:
        mask, label = read_mask(files.mask)
        if mask.shape != image.shape:
            raise BrokenFileError(
                f"the image has {_size(image)} pixels and its mask ({label}) {_size(mask)}; cut "
                "both alike"
            )
        bad |= mask
        marked = f", {int(mask.sum())} of them by {label}, where any value but 0 is bad"
    good = image.size - int(bad.sum())
    if good < _LEAST:
        few = f"only {good} of its {image.size} pixels are good{marked}"
        few = few if good < image.size else f"it has only {_size(image)} pixels"
        raise BrokenFileError(f"{few}; a model needs {_LEAST}")
    if np.ptp(image[~bad]) == 0:
        raise BrokenFileError("all of its pixels are equal")
    plane, more = _find_plane(files.psf, files, settings, PSF)
    notes += more
    psf, more = make_kernel(plane, image.shape, scale)
    notes += more
    z_lens, z_source, more = _find_redshifts(files, settings)
    notes += more
    if good < image.size:
        notes.append(f"{image.size - good} of {image.size} pixels masked")
    return LensData(
        name=files.name,
        image=np.where(bad, 0.0, image),
        noise=np.where(bad, np.inf, noise),
        psf=psf,
        pixel_scale=scale,
        z_lens=z_lens,
        z_source=z_source,
        ra=files.ra,
        dec=files.dec,
        wcs=wcs,
        unit=escape(unit) if unit else "",
        notes=notes,
    )


def _read_image(
    files: LensFiles, settings: ModelSettings
) -> tuple[NDArray[np.float64], str | None, WCS | None, float, list[str]]:
    """The image, NaN where it is bad; its unit, coordinates and pixel scale; and remarks."""
    name = escape(split_extension(files.image)[0].name)
    try:
        with opened_image(files.image, settings.hdu) as opened:
            shape = image_shape(opened.shape)  # refuses a cube
            image = opened.plane(0).reshape(shape)
            unit, wcs, widths = opened.unit, opened.wcs, opened.pixel_widths
            notes = [f"{name}: {opened.note}"] if opened.note else []
            notes += [f"{name}: image {remark}" for remark in opened.remarks]
    except BrokenFileError as error:
        raise BrokenFileError(f"{name}: {error}") from None
    except OSError as error:
        raise BrokenFileError(f"{name} cannot be read: {error.strerror or error}") from None
    if widths and abs(widths[0] / widths[1] - 1) > TOLERANCE:
        x, y = widths
        raise BrokenFileError(f"{name}: its pixels are {x:.4g} x {y:.4g} arcsec, not square")
    own = math.sqrt(widths[0] * widths[1]) if widths else None
    scale, note = _find_scale(files, own, settings)
    return image, unit, wcs, scale, [*notes, *([note] if note else [])]


def _find_scale(
    files: LensFiles, own: float | None, settings: ModelSettings
) -> tuple[float, str | None]:
    """The pixel scale of an image, arcsec: of its WCS, its keywords, or as it is given."""
    keyword = find_header_scale(files.image, settings.hdu)
    note = None
    if own and keyword and abs(keyword / own - 1) > TOLERANCE:
        note = f"pixels of {own:.4g} arcsec by the WCS; a keyword of the header has {keyword:.4g}"
    said = own or keyword
    given, option = files.pixel_scale, "the pixel_scale of the catalogue"
    if given is None:
        given, option = settings.pixel_scale, "--pixel-scale"
    if said is None and given is None:
        raise BrokenFileError(
            f"{escape(files.image.name)} has no WCS and no keyword with its pixel scale; give "
            "--pixel-scale ARCSEC"
        )
    if said is not None and given is not None and abs(given / said - 1) > TOLERANCE:
        raise BrokenFileError(
            f"{option} is {given:g} arcsec, and the header of the image has {said:.4g}"
        )
    scale = said if said is not None else given
    assert scale is not None
    return scale, note


def _find_redshifts(
    files: LensFiles, settings: ModelSettings
) -> tuple[float | None, float | None, list[str]]:
    """The redshifts of lens and source, of a catalogue or else of the header; and remarks."""
    given = files.z_lens, files.z_source
    if None not in given:
        return *given, []
    header = find_header_redshifts(files.image, settings.hdu)
    added = [None if own is not None else other for own, other in zip(given, header, strict=True)]
    z_lens, z_source = (o if o is not None else a for o, a in zip(given, added, strict=True))
    known = " and ".join(
        f"{z:g} ({whose})"
        for whose, z in zip(("lens", "source"), added, strict=True)
        if z is not None
    )
    if not known:
        return *given, []
    if z_lens is not None and z_source is not None and z_lens >= z_source:
        return *given, [
            f"redshift {known} of the header left out: the source must be behind the lens"
        ]
    return z_lens, z_source, [f"redshift {known} from the header"]


def _find_plane(
    path: Path | None, files: LensFiles, settings: ModelSettings, *roles: str
) -> tuple[Plane, list[str]]:
    """A plane of its own file, or of that of the image; and remarks."""
    if path is not None and split_extension(path)[0] != split_extension(files.image)[0]:
        plane = read_plane(path, *roles)
        return plane, [plane.note] if plane.note else []
    if path is not None and split_extension(path)[1]:
        return read_plane(path, *roles), []
    inside = read_inside(files.image, settings.hdu, *roles)
    if not inside:
        option = "--psf" if roles[0] == PSF else "--noise"
        raise BrokenFileError(
            f"{escape(files.image.name)} holds no {roles[0]}, and none lies beside it; give "
            f"{option} FILE, or {option} 'FILE[EXTENSION]'"
        )
    taken, *others = inside
    notes = [f"{roles[0]} from {taken.label}"]
    if others:
        notes[0] += f"; not taken: {', '.join(plane.label for plane in others)}"
    return taken, notes


def _size(pixels: NDArray[np.generic]) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]}"
