"""The FITS file of a model: its maps as extensions, each with the WCS of the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from learn.modelling.maps.maps import LensMaps, Map, SourceMap
from learn.modelling.tables.columns import per_area
from learn.modelling.tables.row_files import CREATOR
from learn.modelling.tables.rows import Row
from lensphys.ground.locks import replacing_alone
from lensphys.ground.names import ascii_text

#: Columns of the row of a lens that its header repeats, with their keywords.
_KEYWORDS = {
    "ra": ("RA", "deg, ICRS"),
    "dec": ("DEC", "deg, ICRS"),
    "z_lens": ("Z_LENS", "redshift of the lens"),
    "z_source": ("Z_SOURCE", "redshift of the source"),
    "theta_E": ("THETA_E", "arcsec, Einstein radius"),
    "theta_E_error": ("THETAERR", "arcsec, its error"),
    "chi2_dof": ("CHI2DOF", "chi^2 over the degrees of freedom"),
    "evidence": ("EVIDENCE", "log evidence, natural logarithm"),
    "converged": ("CONVERGD", "the fit has converged"),
}


def write_maps(path: Path, maps: LensMaps, row: Row, wcs: WCS | None, pixel_scale: float) -> None:
    """Write the FITS file of a lens, whole or not at all.

    Extensions, all float32: ``IMAGE`` and ``NOISE`` as fitted, ``MODEL``, ``RESIDUAL`` (in sigma),
    ``LENS_LIGHT``, ``SOURCE_LENSED``, ``SOURCE_PLANE`` and, if they were made, ``SNR`` and
    ``LEAST_MASS``. Image, noise, residual and what was searched are NaN where a pixel is masked.

    Args:
        path: to write to.
        maps: of the lens.
        row: of the lens in the table; the first header repeats the most important of it.
        wcs: of the pixels of the image; None: not known.
        pixel_scale: arcsec.
    """
    unit = row.values["flux_unit"]
    seen = np.isfinite(maps.image)
    planes: dict[str, tuple[Map | None, Any, str]] = {
        "IMAGE": (maps.image, unit, "image, NaN where it is masked"),
        "MODEL": (maps.model, unit, "best-fit model, blurred by the PSF"),
        "RESIDUAL": (maps.residual, "", "(image - model) / noise"),
        "LENS_LIGHT": (maps.lens_light, unit, "light of the lens in the model"),
        "SOURCE_LENSED": (maps.lensed_source, unit, "lensed light of the source in the model"),
        "SNR": (maps.snr, "", "signal-to-noise ratio of one more mass here"),
        "LEAST_MASS": (maps.least_mass, maps.mass_unit, "least mass seen at 5 sigma here"),
        "NOISE": (maps.noise, unit, "standard deviation used"),
    }
    hdus = fits.HDUList([_first(row)])
    celestial = _celestial(wcs)
    for name, (values, kind, words) in planes.items():
        if values is None:
            continue
        if name in ("SNR", "LEAST_MASS"):
            values = np.where(seen, values, np.nan)
        header = celestial.copy()
        linear = _linear(values.shape, (0.0, 0.0), pixel_scale, "THETA")
        header.update(_as_alternative(linear) if header else linear)
        hdus.append(_image(name, values, header, kind, words))
        if name == "SOURCE_LENSED":
            hdus.append(_source(maps.source, unit))
    with replacing_alone(path) as temporary:
        hdus.writeto(temporary)


def _first(row: Row) -> fits.PrimaryHDU:
    """The header of the file: the name, the most important numbers and the flags."""
    header = fits.Header()
    header["CREATOR"] = CREATOR
    header["OBJECT"] = (ascii_text(row.name)[:60], "name of the lens")
    header["PIXSCALE"] = (row.values["pixel_scale"], "arcsec")
    for column, (keyword, words) in _KEYWORDS.items():
        value = row.values.get(column)
        if value is not None:
            header[keyword] = (value, words)
    header["NFLAGS"] = (len(row.flags), "warnings, listed as HISTORY")
    for flag in row.flags:
        header.add_history(f"flag: {ascii_text(flag)}")
    for note in row.notes:
        header.add_history(ascii_text(note))
    return fits.PrimaryHDU(header=header)


def _source(source: SourceMap, unit: Any) -> fits.ImageHDU:
    header = _linear(source.brightness.shape, source.center, source.pixel_scale, "BETA")
    words = "brightness of the source in its plane"
    return _image("SOURCE_PLANE", source.brightness, header, per_area(str(unit)), words)


def _image(name: str, values: Map, header: fits.Header, unit: Any, words: str) -> fits.ImageHDU:
    hdu = fits.ImageHDU(values.astype(np.float32), header=header, name=name)
    hdu.header["EXTNAME"] = (name, words)
    if unit:
        hdu.header["BUNIT"] = ascii_text(unit)[:68]
    return hdu


def _celestial(wcs: WCS | None) -> fits.Header:
    """The WCS of the image as keywords, with its distortions; empty where there is none."""
    if wcs is None or not wcs.has_celestial:
        return fits.Header()
    return wcs.celestial.to_header(relax=True)


def _linear(
    shape: tuple[int, ...], center: tuple[float, float], pixel_scale: float, name: str
) -> fits.Header:
    """Linear coordinates in arcsec, of which ``center`` is the value in the middle of a map."""
    header = fits.Header()
    for axis, (letter, middle, count) in enumerate(zip("XY", center, shape[::-1], strict=True), 1):
        header[f"CTYPE{axis}"] = (f"{name}_{letter}", "linear")
        header[f"CUNIT{axis}"] = "arcsec"
        header[f"CRPIX{axis}"] = ((count + 1) / 2, "middle of the map")
        header[f"CRVAL{axis}"] = (middle, "arcsec, at the middle")
        header[f"CDELT{axis}"] = (pixel_scale, "arcsec per pixel")
    header["PIXSCALE"] = (pixel_scale, "arcsec")
    return header


def _as_alternative(linear: fits.Header) -> fits.Header:
    """The same coordinates as the alternative ``L`` of others, beside the celestial ones."""
    header = fits.Header()
    for card in linear.cards:
        name = card.keyword if card.keyword == "PIXSCALE" else f"{card.keyword}L"
        header[name] = (card.value, card.comment)
    return header
