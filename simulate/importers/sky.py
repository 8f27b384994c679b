"""Coordinates of an image on the sky, as far as its header gives usable ones."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from astropy import log
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

#: Keywords of distortions in look-up tables (HST). They shift pixels by less than their width, and
#: cutouts come without the tables.
_LOOKUP = re.compile(
    r"(CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IM(DIS|ERR)?)\d*[A-Z]?(\..*)?|D2IMEXT|AXISCORR"
)
#: Keywords of which two give the widths of pixels.
_WIDTHS = (("CD1_1", "CD1_2", "CD2_1", "CD2_2"), ("CDELT1", "CDELT2"))


def find_wcs(header: fits.Header) -> WCS | None:
    """The axes of the sky in a header; None where it has none that can be used.

    Distortions in look-up tables are left out. A header with alternate coordinates alone
    (``CTYPE1A``) gives those.
    """
    plain = _without_tables(header)
    for key in _versions(plain):
        if not _gives_widths(plain, key):
            continue
        try:
            with warnings.catch_warnings(), _silenced():
                warnings.simplefilter("ignore", AstropyWarning)
                warnings.simplefilter("ignore", RuntimeWarning)
                wcs = WCS(plain, key=key or " ")
                if not wcs.has_celestial:
                    continue
                wcs = wcs.celestial
                wcs.wcs.alt = " "  # written to a file of its own, it is the first
                widths = proj_plane_pixel_scales(wcs)
        except Exception:  # what astropy makes of a damaged header can be anything
            continue
        if np.isfinite(widths).all() and min(widths) > 0:
            return wcs
    return None


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep astropy's notes on a header, as on one without "-SIP", out of the output."""
    level = log.level
    log.setLevel("ERROR")
    try:
        yield
    finally:
        log.setLevel(level)


def pixel_widths(wcs: WCS | None) -> tuple[float, float] | None:
    """Widths of a pixel along x and y, arcsec."""
    if wcs is None:
        return None
    x, y = (float(scale) * 3600 for scale in proj_plane_pixel_scales(wcs))
    return x, y


def _versions(header: fits.Header) -> list[str]:
    """Letters of the coordinates that a header has; empty for the first ones."""
    found = {match[1] for key in header if (match := re.fullmatch(r"CTYPE\d([A-Z]?)", str(key)))}
    return sorted(found)


def _gives_widths(header: fits.Header, key: str) -> bool:
    """True where a header has widths of pixels; without, they would be one degree wide."""
    for names in _WIDTHS:
        values = [header[f"{name}{key}"] for name in names if f"{name}{key}" in header]
        if values and not all(isinstance(value, int | float) for value in values):
            return False
        if sum(value != 0 for value in values) > 1:
            return True
    return False


def _without_tables(header: fits.Header) -> fits.Header:
    found = [card for card in header.cards if _LOOKUP.fullmatch(card.keyword)]
    if not found:
        return header
    return fits.Header([card for card in header.cards if card not in found])
