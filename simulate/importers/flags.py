"""Bad pixels, as the planes beside an image call them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulate.importers.errors import escape
from simulate.importers.roles import MASK, NOISE, WEIGHT

#: Planes of a mask that are named in its header (``MP_BAD``) and make a pixel useless. Others mark
#: detections, as Rubin's and Subaru's DETECTED, which covers every lens.
_BAD_PLANES = ("BAD", "NO_DATA", "SAT", "CR")
#: Telescopes whose flags are useless pixels by their lowest bit alone: JWST's and Roman's
#: DO_NOT_USE, Euclid's INVALID. Higher bits inform, as on a cosmic ray that was corrected.
_LOWEST_BIT = ("JWST", "ROMAN", "EUCLID")
#: Names of planes of bits, where MASK and BPM are one or zero.
_HAS_BITS = re.compile(r"DQ|FLA?G")
#: Words in names of planes of a role whose values have another meaning.
_OTHER_MEANING = ("VAR_", "MASKBITS")
#: A noise of this size is written where there is no datum.
_NO_NOISE = 1e20

Bad = NDArray[np.bool_]


def bad_pixels(
    planes: Iterable[tuple[Any, str]], shape: tuple[int, ...], telescope: str
) -> tuple[Bad | None, list[str]]:
    """Pixels that a mask calls bad, or that have no weight or noise, and remarks.

    Remarks follow the number of images: "3 images whose mask ...".

    Args:
        planes: extensions that describe the image, and their roles.
        shape: of the image, or of the cube of images.
        telescope: ``TELESCOP``, as far as it is known.
    """
    bad: Bad | None = None
    remarks = []
    for hdu, role in planes:
        if role not in (MASK, NOISE, WEIGHT):
            continue
        name = escape(hdu.name)
        if any(word in hdu.name for word in _OTHER_MEANING):
            if role == MASK:
                remarks.append(f"whose mask {name} is not applied: its bits have many meanings")
            continue
        values = _on_pixels(hdu, shape)
        if values is None:
            if role == MASK:
                remarks.append(f"whose mask {name} is not applied: it has other pixels")
            continue
        found = flagged(values, hdu, telescope) if role == MASK else _without_data(values, role)
        if role != MASK and found.all():
            remarks.append(f"whose {role} {name} is not used: it has no value above 0")
            continue
        bad = found if bad is None else bad | found
    return bad, remarks


def flagged(mask: NDArray[Any], hdu: Any, telescope: str) -> Bad:
    """Pixels that a mask calls bad: any but 0, or those of the bits that mean it."""
    header = hdu.header
    if mask.dtype.kind not in "iu":
        return np.asarray(mask != 0)
    if any(str(key).startswith("MP_") for key in header):
        planes = [header[f"MP_{name}"] for name in _BAD_PLANES if f"MP_{name}" in header]
        bits = sum(1 << int(plane) for plane in planes)
        return np.asarray((mask.astype(np.int64) & bits) != 0)
    if _has_lowest_bit(hdu, telescope, mask.dtype):
        return np.asarray((mask & 1) != 0)
    return np.asarray(mask != 0)


def _has_lowest_bit(hdu: Any, telescope: str, dtype: np.dtype[Any]) -> bool:
    if hdu.name.endswith(".FLG") or (hdu.name == "DQ" and dtype == np.uint32):
        return True  # cutouts may have lost the name of the telescope
    return telescope.strip().upper() in _LOWEST_BIT and _HAS_BITS.search(hdu.name) is not None


def _on_pixels(hdu: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Values of a plane for each pixel of an image or of each image of a cube."""
    own = tuple(n for n in hdu.shape if n != 1)
    wanted = tuple(n for n in shape if n != 1)
    if own == wanted:
        return np.asarray(hdu.data).reshape(shape)
    if len(shape) > 2 and own == wanted[-2:]:
        return np.broadcast_to(np.asarray(hdu.data).reshape(shape[-2:]), shape)
    return None


def _without_data(values: NDArray[Any], role: str) -> Bad:
    with np.errstate(invalid="ignore"):
        none = ~np.isfinite(values) | (values <= 0)
        return np.asarray(none | (values >= _NO_NOISE) if role == NOISE else none)
