"""The files of lenses: image, noise, PSF and mask, found by their names. Imports no torch."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from learn.modelling.output.output_files import is_output
from lensphys.ground.errors import InputError
from lensphys.ground.names import shorten
from simulate.importers.errors import escape
from simulate.importers.listing import Listing, list_images
from simulate.importers.packed import first_image_number
from simulate.importers.roles import (
    MASK,
    NOISE,
    PSF,
    WEIGHT,
    find_object,
    folder_role,
    is_fits,
    split_extension,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LensFiles:
    """The files of one lens, of which none has been opened, and what a catalogue gives."""

    name: str
    image: Path
    noise: Path | None = None
    """None: in the file of the image"""
    psf: Path | None = None
    """None: in the file of the image"""
    mask: Path | None = None
    pixel_scale: float | None = None
    """arcsec"""
    z_lens: float | None = None
    z_source: float | None = None
    ra: float | None = None
    """degrees"""
    dec: float | None = None
    """degrees"""
    place: str = ""
    """where a catalogue names the lens: "lenses.csv, row 3"; else empty"""
    fault: str = ""
    """why the lens cannot be read, as far as the names of its files show"""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, without the names of extensions."""
        named = (self.image, self.noise, self.psf, self.mask)
        return tuple(dict.fromkeys(split_extension(path)[0] for path in named if path is not None))


@dataclasses.dataclass(frozen=True)
class Given:
    """Files that options name, for lenses that have none of their own."""

    noise: Path | None = None
    psf: Path | None = None
    mask: Path | None = None

    def check(self) -> None:
        """Refuse files that are not there.

        Raises:
            InputError: naming the option.
        """
        for option, path in (("noise", self.noise), ("psf", self.psf), ("mask", self.mask)):
            if path is not None and not split_extension(path)[0].is_file():
                raise InputError(f"--{option} {path}: there is no such file")


def find_lenses(inputs: Sequence[Path], given: Given) -> list[LensFiles]:
    """The files of all lenses that are named on a command line.

    Args:
        inputs: catalogues (.csv), images (``lens.fits``, ``lens.fits[SCI]``), folders of one lens,
            and folders of any of these.
        given: by options.

    Raises:
        InputError: if there is no such file or folder, or if two lenses bear the same name.
    """
    given.check()
    found: list[LensFiles] = []
    for path in inputs:
        if path.suffix.lower() == ".csv":
            from learn.modelling.reading.catalogue import read_catalogue

            found += read_catalogue(path, given)
        elif path.is_dir():
            lenses = [lens for folder in _walk(path) for lens in _list_folder(folder, given)]
            if not lenses:
                raise InputError(f"{path}: there is no FITS image of the sky in this folder")
            found += lenses
        else:
            found.append(_image(path, given))
    # A wildcard names what lies beside an image too.
    beside = {path for lens in found for path in (lens.noise, lens.psf, lens.mask)}
    return _with_own_names(lens for lens in found if not (lens.fault and lens.image in beside))


def _image(path: Path, given: Given) -> LensFiles:
    """The lens of an image that is named, with the files beside it.

    Raises:
        InputError: if there is no such file, or if it is no FITS file.
    """
    file, extension = split_extension(path)
    if not os.path.lexists(file):
        raise InputError(f"{path}: there is no such file or folder")
    if not is_fits(file.name):
        raise InputError(f"{path}: give FITS images, a folder of them, or a catalogue (.csv)")
    try:
        listing = _listing(file.parent, file.parent.stat().st_mtime_ns)
    except OSError:  # a folder that cannot be listed
        listing = Listing((), ())
    lens = _lens(file, listing, given)
    if extension is not None:
        return dataclasses.replace(lens, image=path)
    if role := dict(listing.others).get(file.name):
        named = f"{path}[{first_image_number(file)}]"
        fault = f"by its name it is a {role}, no image of the sky; '{named}' takes it nevertheless"
        return dataclasses.replace(lens, fault=escape(fault))
    return lens


def _walk(path: Path) -> Iterator[Path]:
    """Folders of images, without those of noise maps and the like and those that were made here."""
    for name, folders, _ in os.walk(path):
        folders[:] = sorted(
            child
            for child in folders
            if not child.startswith(".")
            and folder_role(child) is None
            and not is_output(Path(name, child))
        )
        yield Path(name)


def _list_folder(folder: Path, given: Given) -> Iterator[LensFiles]:
    """The lenses of which the images lie in a folder."""
    listing = _listing(folder, folder.stat().st_mtime_ns)
    for name, _ in listing.images:
        if is_fits(name):
            yield _lens(folder / name, listing, given)


@functools.lru_cache(maxsize=8)
def _listing(folder: Path, changed: int) -> Listing:
    """Images of a folder and the files beside them; the time changes with the folder."""
    found = list_images(folder)
    return Listing(found.images, tuple(item for item in found.others if is_fits(item[0])))


def _lens(image: Path, listing: Listing, given: Given) -> LensFiles:
    """A lens with the files that lie beside its image."""
    beside, fault = _find_beside(image, listing)
    return LensFiles(
        name=_name(image),
        image=image,
        noise=given.noise or beside.get(NOISE) or beside.get(WEIGHT),
        psf=given.psf or beside.get(PSF),
        mask=given.mask or beside.get(MASK),
        fault="" if given.noise and given.psf else fault,
    )


def _find_beside(image: Path, listing: Listing) -> tuple[dict[str, Path], str]:
    """The files beside an image by their roles; and the fault of two of one role."""
    own, alone = find_object(image.name), len(listing.images) <= 1
    found: dict[str, Path] = {}
    for name, role in listing.others:
        if role not in (NOISE, WEIGHT, PSF, MASK) or name == image.name:
            continue
        named = find_object(name)
        # A file that names no object describes the only image; a PSF may describe several.
        if named != own and (named or not (alone or role == PSF)):
            continue
        if role in found:
            option = {PSF: "--psf", MASK: "--mask"}.get(role, "--noise")
            return found, f"{found[role].name} and {name} are {role}s of it; choose with {option}"
        found[role] = image.parent / name
    return found, ""


def _name(image: Path) -> str:
    """The name of the file, or that of its folder where it only says that it is an image."""
    if not find_object(image.name) and (folder := image.resolve().parent.name):
        return folder
    return _stem(image)


def _stem(image: Path) -> str:
    name = split_extension(image)[0].name
    for ending in (".fits", ".fit", ".fts"):
        head, found, _ = name.lower().rpartition(ending)
        if found and head:
            return name[: len(head)]
    return name


def _with_own_names(lenses: Iterable[LensFiles]) -> list[LensFiles]:
    """Lenses with names of their own: images of one name in several folders bear those too.

    Raises:
        InputError: for two lenses of one name.
    """
    lenses = list(dict.fromkeys(lenses))
    count = Counter(lens.name for lens in lenses)
    named = [
        lens
        if count[lens.name] == 1 or lens.place
        else dataclasses.replace(lens, name=f"{lens.image.resolve().parent.name}_{lens.name}")
        for lens in lenses
    ]
    first: dict[str, LensFiles] = {}
    for lens in named:
        other = first.setdefault(lens.name, lens)
        if other is not lens:
            places = " and ".join(each.place or str(each.image) for each in (other, lens))
            raise InputError(
                f"{escape(places)} are both called '{shorten(escape(lens.name), 60)}'; name each "
                "lens once, as in a catalogue with columns name,image,noise,psf"
            )
    return named
