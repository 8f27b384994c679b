"""Roles of images beside an image of the sky, by the names of extensions, files and folders."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path, PurePath

NOISE, PSF, WEIGHT, MASK = "noise map", "PSF", "weight map", "mask"
SEGMENTATION, EXPOSURE, BACKGROUND = "segmentation map", "exposure map", "background"
CALIBRATION = "calibration frame"

#: Words that name a role wherever they stand.
_STRONG = {
    NOISE: "rms rmsmap noisemap errmap errormap sigmamap stddev variance varmap uncertainty",
    PSF: "psf psfs psfex",
    WEIGHT: "wht weight weights weightmap wgt ivar invvar invvariance",
    MASK: "mask masks maskbits msk bpm badpix badpixel badpixels dq flag flags flg crmask",
    SEGMENTATION: "seg segm segmap segmentation",
    EXPOSURE: "expmap exposuremap nexp",
}
#: Words that name a role alone, or where the same name without them is that of an image.
_WEAK = {
    NOISE: "noise err error errors sig sigma std var unc uncert",
    PSF: "kernel prf",
    EXPOSURE: "exp exptime exposure ctx context con",
    BACKGROUND: "bkg bkgd bgd background",
    CALIBRATION: "bias dark flat",
}
#: Words that name a role in an extension alone.
_IN_FILES = {
    BACKGROUND: "imarr wcsdvarr area wavelength samp time",
    MASK: "qual quality bad",
    WEIGHT: "wt wmap",
}


def _by_word(*tables: dict[str, str]) -> dict[str, str]:
    return {
        word: role for table in tables for role, words in table.items() for word in words.split()
    }


_STRONG_ROLES, _WEAK_ROLES = _by_word(_STRONG), _by_word(_WEAK)
_FOLDER_ROLES = _STRONG_ROLES | {
    "noise": NOISE,
    "err": NOISE,
    "error": NOISE,
    "sigma": NOISE,
    "kernel": PSF,
    "background": BACKGROUND,
}
_EXTENSION_ROLES = _by_word(_STRONG, _WEAK, _IN_FILES)
#: Words that say no more than that there is an image.
_OF_IMAGES = frozenset(
    {"image", "images", "img", "data", "sci", "science", "primary", "drz", "drc", "flt", "flc"}
    | {"cutout", "cutouts", "obs", "observed", "i2d", "cal", "calexp", "flux", "intensity"}
    | {"map", "maps", "frame", "plane", "bgsub"}
)
#: One of the words, somewhere in a name; most names have none and are done with.
_ANY = re.compile(
    "|".join(sorted({*_STRONG_ROLES, *_WEAK_ROLES}, key=len, reverse=True)), re.IGNORECASE
)
#: Endings of HDF5 files.
HDF5 = (".h5", ".hdf5")
#: Endings of FITS files, and those that packing adds.
PLAIN_FITS = (".fits", ".fit", ".fts")
PACKED = (".gz", ".fz", ".bz2", ".xz", ".zip")
_FITS = tuple(f"{plain}{packed}" for plain in PLAIN_FITS for packed in ("", *PACKED))
_NO_DIGITS = str.maketrans("", "", "0123456789")
_WORD = re.compile(r"[A-Za-z]+|\d+")


def extension_role(name: str) -> str | None:
    """The role of an extension by its name; None for an image, as far as the name shows."""
    for word in _words(name):
        role = _EXTENSION_ROLES.get(word) or _role_inside(word)
        if role:
            return role
    return None


@functools.lru_cache(maxsize=4096)
def _may_have_role(name: str) -> bool:
    """False for most names, which without their digits are few."""
    return _ANY.search(name) is not None


class Neighbours:
    """The files of one folder, by the objects that their names give."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = names

    @functools.cached_property
    def objects(self) -> frozenset[tuple[str, ...]]:
        """Words of each image that name its object; none of files of another role."""
        named = [_words(_stem(name)) for name in self._names]
        images = [words for words in named if _STRONG_ROLES.keys().isdisjoint(words)]
        return frozenset(
            tuple(_without(words, _OF_IMAGES))
            for words in images
            if _WEAK_ROLES.keys().isdisjoint(words)
        )


def file_role(name: str, beside: Neighbours) -> str | None:
    """The role of a file by its name, None for an image.

    Args:
        name: of the file.
        beside: the files of its folder, which decide where the name alone does not.
    """
    if not _may_have_role(name.translate(_NO_DIGITS)):
        return None
    words = _words(_stem(name))
    for word in words:
        if word in _STRONG_ROLES:
            return _STRONG_ROLES[word]
    weak = [word for word in words if word in _WEAK_ROLES]
    if not weak:
        return None
    alone = set(words) <= {weak[-1], *_OF_IMAGES}
    rest = tuple(_without(words, {*weak, *_OF_IMAGES}))
    if alone or words[-1] in ("map", "maps") or rest in beside.objects:
        return _WEAK_ROLES[weak[-1]]
    return None


def _role_inside(word: str) -> str | None:
    """The role in words such as MERPSF, VISRMS and BPMASK."""
    if "psf" in word:
        return PSF
    if word.endswith(("mask", "msk", "flag", "flags")):
        return MASK
    return NOISE if word.endswith("rms") and word not in ("forms", "norms", "terms") else None


def find_object(name: str) -> tuple[str, ...]:
    """Words of the name of a file that name its object: those of ``lens1`` in ``lens1_psf.fits``.

    They are none in ``noise_map.fits`` and ``psf.fits``.
    """
    return tuple(_without(_words(_stem(name)), {*_STRONG_ROLES, *_WEAK_ROLES, *_OF_IMAGES}))


def names_no_object(name: str) -> bool:
    """True for ``noise_map.fits`` and ``psf.fits``, false for ``lens1_psf.fits``."""
    return not find_object(name)


def folder_role(name: str) -> str | None:
    """The role of all images of a folder by its name, None for images."""
    words = _words(name)
    singular = [word.removesuffix("s") for word in words]
    for some in (words, singular):
        known = [word for word in some if word in _FOLDER_ROLES]
        if known and set(some) <= {known[-1], *_OF_IMAGES}:
            return _FOLDER_ROLES[known[-1]]
    return None


def split_extension(path: Path) -> tuple[Path, str | None]:
    """``cutout.fits[SCI]`` as the path of the file and the name or number of an extension."""
    match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", path.name)
    if match is None or path.exists():
        return path, None
    return path.with_name(match[1]), match[2]


def is_fits(name: str) -> bool:
    """True for the name of a FITS file."""
    return name.lower().endswith(_FITS) and not PurePath(name).name.startswith(".")


def belongs(plane: str, image: str) -> bool:
    """True where the names of two extensions allow that one describes the pixels of the other."""
    words = [word for word in _words(plane) if _role_inside(word) is None]
    rest = _without(words, {*_EXTENSION_ROLES, *_OF_IMAGES})
    return not rest or rest == _without(_words(image), _OF_IMAGES)


def _without(words: list[str], known: Iterable[str]) -> list[str]:
    known = frozenset(known)
    return [word for word in words if word not in known]


def _stem(name: str) -> str:
    stem = PurePath(name).name
    return re.sub(r"\.(npy|fits?|fts|h5|hdf5)(\.\w+)?$", "", stem, flags=re.IGNORECASE)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
