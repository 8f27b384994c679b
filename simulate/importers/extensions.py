"""The image of the sky among the extensions of a FITS file, and the planes that belong to it."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

from astropy.io import fits

from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.roles import CALIBRATION, MASK, NOISE, belongs, extension_role

#: Names of the extension with the image.
SCIENCE = ("SCI", "SCIENCE", "IMAGE")
#: Band of the images of a survey that its lenses are found in, where a file has several bands.
_FIRST_BAND = re.compile(r"(^|[^A-Z])VIS([^A-Z]|$)")
#: Keywords that name the kind of an image.
_KINDS = ("EXTTYPE", "IMAGETYP", "OBSTYPE", "HDUCLAS1", "HDUCLAS2")
_ROLES = {
    "MASK": MASK,
    "QUALITY": MASK,
    "VARIANCE": NOISE,
    "ERROR": NOISE,
    "BIAS": CALIBRATION,
    "DARK": CALIBRATION,
    "FLAT": CALIBRATION,
}
_NUMBERS = (8, 16, 32, 64, -32, -64)
_CHOOSE = "choose with --hdu NAME or NUMBER"
_SHOWN = 4

#: An extension and its number.
_Place = tuple[int, Any]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The image that is taken from a file.

    Attributes:
        image: its extension.
        index: number of this.
        planes: extensions that may describe its pixels (noise, weights, masks), and their roles.
        note: the origin of the image and those that are not taken, to follow "3 images"; empty
            where there is no other of the sky.
    """

    image: Any
    index: int
    planes: tuple[tuple[Any, str], ...]
    note: str


def choose_image(file: fits.HDUList, wanted: str | None = None) -> Choice:
    """Choose the extension called SCI, SCIENCE or IMAGE, else the first image of the sky.

    Extensions whose names or headers call them a noise map, a PSF, a mask and the like are none.
    Of several bands without such a name, Euclid's VIS comes first.

    Args:
        file: that is open.
        wanted: name or number of another extension; ``NAME,VERSION`` where several bear the name.

    Raises:
        BrokenFileError: if there is no image, none of the sky, or not the wanted one.
    """
    images: list[_Place] = [(i, hdu) for i, hdu in enumerate(file) if is_image(hdu)]
    if not images:
        raise BrokenFileError("it has no image extension")
    roles = {i: image_role(hdu) for i, hdu in images}
    sky = [(i, hdu) for i, hdu in images if roles[i] is None]
    if wanted is not None:
        index, image = _find(images, wanted)
    elif not sky:
        (index, image), *others = images
        what = "only " + _list_roles(Counter(map(str, roles.values())))
        one = "" if others else f" ({_label(index, image)})"
        raise BrokenFileError(f"it has {what}{one}, no image of the sky; {_CHOOSE}")
    else:
        index, image = min(sky, key=lambda item: (_rank(item[1]), item[0]))
    if image.header.get("BITPIX") not in _NUMBERS:
        raise BrokenFileError("its header gives no kind of number for its pixels")
    planes = tuple(
        (hdu, role)
        for i, hdu in images
        if (role := roles[i]) and _describes((i, hdu), (index, image), images, sky)
    )
    others = [(i, hdu) for i, hdu in sky if i != index]
    note = ""
    if others and wanted is None:
        rest = Counter(role for role in roles.values() if role is not None)
        note = _describe_choice((index, image), others, rest, len(images))
    return Choice(image, index, planes, note)


def sky_images(file: fits.HDUList) -> list[Any]:
    """All extensions that hold an image of the sky."""
    return [hdu for hdu in file if is_image(hdu) and image_role(hdu) is None]


def is_image(hdu: Any) -> bool:
    """True for an extension that holds an image, or a cube of images."""
    return bool(hdu.is_image) and len(hdu.shape) >= 2


def image_role(hdu: Any) -> str | None:
    """The role of an extension by its header and name; None for an image of the sky."""
    for key in _KINDS:
        value = str(hdu.header.get(key, "")).strip().upper()
        if value in _ROLES:
            return _ROLES[value]
    return extension_role(hdu.name)


def _rank(hdu: Any) -> int:
    if hdu.name in SCIENCE:
        return 0
    return 1 if _FIRST_BAND.search(hdu.name) else 2


def _find(images: list[_Place], wanted: str) -> _Place:
    name, _, version = (part.strip() for part in wanted.partition(","))
    for index, hdu in images:
        is_named = hdu.name == name.upper() and version in ("", str(hdu.ver))
        if is_named or (name == str(index) and not version):
            return index, hdu
    known = ", ".join(_label(index, hdu) for index, hdu in images[:_SHOWN])
    more = f" and {len(images) - _SHOWN} more" if len(images) > _SHOWN else ""
    raise BrokenFileError(f"it has no image '{escape(wanted)}'; it has {known}{more}")


def _describes(plane: _Place, image: _Place, images: list[_Place], sky: list[_Place]) -> bool:
    """True where a plane that is no image of the sky may describe the pixels of an image."""
    name, version = plane[1].name, plane[1].ver
    if plane[0] == image[0]:
        return False
    if len(sky) <= 1:
        return True
    if version != image[1].ver or not belongs(name, image[1].name):
        return False
    of_its_name = [hdu for _, hdu in images if (hdu.name, hdu.ver) == (name, version)]
    if len(of_its_name) == 1:
        return True
    # Planes of one name follow the images that they describe.
    before = [i for i, _ in sky if i < plane[0]]
    return before[-1:] == [image[0]]


def _label(index: int, hdu: Any) -> str:
    version = f",{hdu.ver}" if hdu.ver != 1 else ""
    return f"{escape(hdu.name)}{version}" if hdu.name else f"extension {index}"


def _describe_choice(taken: _Place, others: list[_Place], rest: Counter[str], count: int) -> str:
    names = [_label(*item) for item in others]
    shown = ", ".join(names if len(names) <= 10 else names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} other images" if len(names) > 10 else ""
    beside = f", {_list_roles(rest)}" if rest else ""
    number = f" (extension {taken[0]})" if taken[1].name else ""
    return (
        f"from {_label(*taken)}{number}, one of the {count} images in the file; "
        f"not taken: {shown}{more}{beside}; {_CHOOSE}"
    )


def _list_roles(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {role}{'s' if n > 1 else ''}" for role, n in counts.items())
