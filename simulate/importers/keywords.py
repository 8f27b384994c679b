"""Keywords of a FITS file that stay true of an image whose pixels are changed."""

from __future__ import annotations

import re
import warnings
from typing import Any

from astropy.io import fits
from astropy.io.fits.verify import VerifyError

#: Keywords that describe the pixels: coordinates, distortions and sections of the detector, limits
#: and sums of the values, and the place of an extension in its file.
_OF_PIXELS = re.compile(
    r"""
    (WCSAXES|WCSNAME|CRPIX|CRVAL|CDELT|CTYPE|CUNIT|CROTA|CRDER|CSYER|CNAME|LONPOLE|LATPOLE)\w*
    | (CD|PC|PV|PS)\d+_\d+[A-Z]?
    | (A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)
    | (CPDIS|CQDIS|CPERR|CQERR|DP|DQ|D2IM|AXISCORR)\w*
    | (LTV|LTM|ATM|ATV)\d+(_\d+)?
    | (DATA|CCD|TRIM|BIAS|AMP|DET|ORIG)SEC\w*
    | NPIX\d* | SIZAXIS\d+ | CENTERA\d+ | D\d{3}SCAL | WAT\d_\d{3} | WCSDIM
    | (PIXAR|PIXSCAL|PIXSCL|PIXELSCL|PIXSIZE|SECPIX|PLTSCL|PLATESC|SCALE)\w*
    | DATAMIN | DATAMAX | GOODMIN | GOODMAX | GOODMEAN | BLANK | CHECKSUM | DATASUM | ZHECKSUM
    | ZDATASUM | BUNIT
    | EXTNAME | EXTVER | EXTLEVEL | NEXTEND | INHERIT | Z(IMAGE|TENSION|SIMPLE|EXTEND|BITPIX)\w*
    | Z(NAXIS|TILE|CMPTYPE|NAME|VAL|QUANTIZ|DITHER|PCOUNT|GCOUNT|BLANK)\w*
    """,
    re.VERBOSE,
)


def kept_keywords(file: fits.HDUList, image: Any) -> fits.Header:
    """Exposure, filter, observer, history and all else that holds whatever the pixels are.

    Args:
        file: an open FITS file.
        image: the extension with the image; what it does not say is taken from the first header.

    Returns:
        A header without keywords of pixels, of coordinates and of the structure of the file, and
        without those that break the rules of FITS, which could not be written.
    """
    kept = fits.Header()
    for hdu in dict.fromkeys((file[0], image)):
        own = fits.Header(card for card in hdu.header.copy(strip=True).cards if _is_kept(card))
        kept.extend(own, update=True)
    return kept


def _is_kept(card: fits.Card) -> bool:
    """Tell whether a card says nothing of pixels, and can be written: many in files cannot."""
    if _OF_PIXELS.fullmatch(card.keyword):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            card.verify("exception")
            str(card)
        except (VerifyError, ValueError, TypeError):
            return False
    return True
