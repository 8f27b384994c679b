"""Units of images as instruments write them: flux a pixel, or a surface brightness."""

from __future__ import annotations

import re

#: Spellings of powers and of angles that astropy does not know.
_SPELLINGS = (
    (re.compile("[\N{SUPERSCRIPT MINUS}\N{MINUS SIGN}\N{EN DASH}]"), "-"),
    (re.compile("\N{SUPERSCRIPT TWO}"), "2"),
    (re.compile("\N{SUPERSCRIPT ONE}"), "1"),
    (re.compile(r"\"|''|\N{DOUBLE PRIME}"), "arcsec"),
)
_ANGLE = r"(?:arc_?sec(?:ond)?s?|asec|arc_?min(?:ute)?s?|amin|deg(?:ree)?s?|mas|uas|rad(?:ian)?s?)"
#: A solid angle of the sky, or the beam of a radio telescope, in lower case.
_SOLID_ANGLE = re.compile(
    rf"(?<![a-z])(?:sr|ster(?:adian)?s?|beam|sq(?:uare)?[\s._]*{_ANGLE}|{_ANGLE}[\s._]*sq(?:uared)?"
    rf"|{_ANGLE}\s*(?:\^|\*\*)?\s*[({{]*\s*[+-]?\s*2)(?![a-z])"
)
#: Quantities of a pixel, in lower case, as they begin a unit.
_QUANTITY = re.compile(
    r"(?:[\d.]+(?:e[+-]?\d+)?\s*\*?\s*|10\s*(?:\^|\*\*)\s*\(?[+-]?\d+\)?\s*\*?\s*)?"
    r"(?:e(?:-|lectrons?|lec|l)?|counts?|cts?|cps|adus?|dn|dns|ph(?:otons?)?"
    r"|[fpnumk]?jy|[fpnum]?(?:jansky|janskys)|(?:nano|micro)?maggy|(?:nano|micro)?maggies|n?mgy"
    r"|ergs?|w|watts?|flux)(?![a-z])"
)
#: Brightness temperatures.
_TEMPERATURE = re.compile(r"[mu\N{GREEK SMALL LETTER MU}\N{MICRO SIGN}]?k(?:elvin)?\b.*", re.ASCII)


def is_surface_brightness(unit: str | None) -> bool | None:
    """True for flux per solid angle, False for flux per pixel, None where a unit is not known.

    A surface brightness stays what it is on pixels of another width; the flux of a pixel grows
    with its area.

    Args:
        unit: as in ``BUNIT``: ``MJy/sr``, ``ELECTRONS/S``, ``e-/s/arcsec^2``, ``Jy/beam``, ...
    """
    text = (unit or "").strip()
    for spelling, plain in _SPELLINGS:
        text = spelling.sub(plain, text)
    text = text.lower()
    if _SOLID_ANGLE.search(text) or _TEMPERATURE.fullmatch(text):
        return True
    return False if _QUANTITY.match(text) or _is_known(unit or "") else None


def _is_known(unit: str) -> bool:
    """True for a unit of light that astropy can read, which has no solid angle."""
    from astropy import units  # refusals answer without it

    try:
        read = units.Unit(unit)
    except (ValueError, TypeError):
        return False
    kinds = {"spectral flux density", "power", "energy", "spectral flux density wav", "energy flux"}
    return bool(kinds.intersection(read.physical_type)) or read.is_equivalent("electron / s")
