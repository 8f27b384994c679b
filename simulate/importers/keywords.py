"""Keywords of a FITS file that stay true of an image whose pixels are changed."""

from __future__ import annotations

import re
from typing import Any

from astropy.io import fits

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
    | NPIX\d* | SIZAXIS\d+ | CENTERA\d+
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
        A header without keywords of pixels, of coordinates and of the structure of the file.
    """
    kept = fits.Header()
    for hdu in dict.fromkeys((file[0], image)):
        own = hdu.header.copy(strip=True)
        for keyword in {card.keyword for card in own.cards if _OF_PIXELS.fullmatch(card.keyword)}:
            own.remove(keyword, remove_all=True)
        kept.extend(own, update=True)
    return kept
