"""Layouts of published images in folders."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text
from simulate.importers.errors import escape
from simulate.importers.listing import (
    Listing,
    has_images,
    is_image,
    list_folders,
    list_images,
)
from simulate.importers.packed import first_image_number
from simulate.importers.roles import HDF5, folder_role, is_fits, split_extension
from simulate.substructure import known_classes

HIGH, LOW = "HR", "LR"
#: A folder for each lens, with its image, noise map and PSF.
LENSES = "lenses"
#: A CSV file of paths.
CATALOGUE = "catalogue"
SPLITS = ("train", "val", "test")
#: Other names of parts.
SAME_PART = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}
UNLABELLED = "unlabelled"
_KNOWN = (
    "known are no_sub/ cdm/ axion/ and no/ sphere/ vort/ with .npy or FITS files, HR/ LR/ with "
    "files of the same names, each of these also below train/ val/ test/, .npy or FITS files "
    "themselves, and folders of FITS files; --label-names a,b imports class folders of other names"
)


class Entry(NamedTuple):
    """One image."""

    name: str
    """name of its file, relative to the source"""
    size: int
    """size of the file in bytes"""
    label: int
    split: int
    """position in ``Source.split_names``, or -1"""
    low: str | None
    """file of the same image at low resolution, in a layout of pairs"""
    low_size: int


@dataclasses.dataclass(frozen=True)
class Source:
    """Images to import, in the order in which they are.

    Attributes:
        path: the folder, or the one file.
        folder: the folder that the names of files are relative to.
        layout: ``deeplensesim``, ``deeplense-tests``, ``classes``, ``pairs``, ``lenses``,
            ``catalogue`` or ``unlabelled``.
        label_names: names of the classes.
        split_names: ``train``, ``val``, ``test``, as far as they are there.
        fits: true for FITS files, false for .npy.
        entries: one an image; classes take turns.
        left_out: folders of images beside those of the layout, and how many are in each.
        others: files that are no images of the sky by their names, and their roles.
        hdu: name or number of the extension to take of FITS files.
    """

    path: Path
    folder: Path
    layout: str
    label_names: tuple[str, ...]
    split_names: tuple[str, ...]
    fits: bool
    entries: tuple[Entry, ...]
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)
    others: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hdu: str | None = None

    @property
    def pairs(self) -> bool:
        """True where each image comes at two resolutions."""
        return self.layout == "pairs"

    def file(self, name: str) -> Path:
        """The path of a file."""
        return self.folder / name

    def digest(self) -> str:
        """SHA-256 of the names and sizes of all files."""
        digest = hashlib.sha256()
        for entry in self.entries:
            low = "" if entry.low is None else f"{entry.low}\0{entry.low_size}"
            line = f"{entry.name}\0{entry.size}\0{entry.label}\0{low}"
            if self.layout == CATALOGUE:  # elsewhere the name holds the part
                line += f"\0{entry.split}"
            line += "\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()


def class_folders() -> dict[str, tuple[str, ...]]:
    """Names of class folders in each layout, in the order of their labels."""
    return {"deeplensesim": known_classes(), "deeplense-tests": ("no", "sphere", "vort")}


def find_images(path: Path, label_names: tuple[str, ...] | None = None) -> Source:
    """Find the images below a folder, or in one FITS file.

    Args:
        path: folder or file.
        label_names: class folders, in the order of their labels; None: by their names.

    Raises:
        InputError: if nothing is there, or it lies in no known layout, or in two.
    """
    file, extension = split_extension(path)
    if extension is not None and os.path.lexists(file) and not file.is_dir():
        return dataclasses.replace(_one_file(file, label_names, extension), hdu=extension)
    if not path.is_dir():
        if not os.path.lexists(path):
            raise InputError(f"there is no file or folder {escape(str(path))} to import")
        return _one_file(path, label_names)
    if role := folder_role(path.resolve().name):
        raise InputError(
            f"{escape(str(path))} is a folder of {role}s by its name, no images of the sky; rename "
            "it to import them nevertheless"
        )
    _check_parts(path, label_names or ())
    splits = tuple(name for name in SPLITS if (path / name).is_dir())
    layouts = {split: _layouts(path / split, label_names) for split in splits or ("",)}
    if label_names:
        _check_named(path, splits or ("",), label_names)
    kinds = sorted(set().union(*layouts.values()))
    if splits and (beside := _layouts(path, label_names)):
        known = [name for name in beside if name != "classes"]
        kinds = sorted({*kinds, *(f"{name} beside {'/ '.join(splits)}/" for name in known)})
    if not kinds:
        raise InputError(f"{escape(str(path))} has none of the known layouts: {_KNOWN}")
    if len(kinds) > 1:
        raise InputError(
            f"{escape(str(path))} mixes layouts ({', '.join(kinds)}); import each from a folder "
            "of its own, or choose class folders with --label-names a,b"
        )
    names = _order_classes(kinds[0], [layout.get(kinds[0], ()) for layout in layouts.values()])
    if label_names:
        names = label_names
    others: dict[str, str] = {}
    rows = [
        _rows(path, split, kinds[0], names, number, others) for number, split in enumerate(layouts)
    ]
    used = {"pairs": (HIGH, LOW), UNLABELLED: ()}.get(kinds[0], names)
    if kinds[0] == LENSES:
        names = (UNLABELLED,)
    left_out = dict(_left_out(path, "", splits or used))
    for split in splits:
        left_out |= _left_out(path, split, used)
    source = _source(path, kinds[0], names, splits, rows, left_out)
    return dataclasses.replace(source, others=others)


def _check_parts(path: Path, label_names: tuple[str, ...]) -> None:
    """Refuse folders whose names mean a published part but are not those that are known."""
    for name in sorted(_folders(path)):
        part = SAME_PART.get(name.lower(), name.lower())
        if part in SPLITS and name != part and name not in label_names:
            raise InputError(
                f"{escape(str(path))} has a folder {escape(name)}/, which seems to be a part of a "
                f"published split; rename it to {part}/, or name it in --label-names as a class"
            )


def _check_named(path: Path, splits: tuple[str, ...], label_names: tuple[str, ...]) -> None:
    """Refuse names of folders that are not there."""
    there = sorted(set[str]().union(*(_folders(path / split) for split in splits)))
    for name in label_names:
        if name not in there:
            known = ", ".join(escape(each) for each in there)
            raise InputError(
                f"--label-names: there is no folder '{escape(name)}' in {escape(str(path))}; "
                + (f"its folders are {known}" if there else "it has no folders")
            )


def _left_out(path: Path, split: str, used: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Folders of images that are not used, and how many are in each."""
    for name in sorted(_folders(path / split).difference(used)):
        folder = _join(split, name)
        listing = list_images(path / folder)
        if count := len(listing.images) + len(listing.others):
            yield folder, count


def _folders(path: Path) -> set[str]:
    """Names of the folders in a folder."""
    return set(list_folders(path))


def _one_file(
    path: Path, label_names: tuple[str, ...] | None, extension: str | None = None
) -> Source:
    shown = escape(str(path))
    if not is_image(path.name):
        raise InputError(_refuse_file(path))
    if extension is not None and not is_fits(path.name):
        raise InputError(f"{shown} has no extensions; only FITS files have")
    try:
        beside = list_images(path.parent)
    except OSError:
        beside = Listing(((path.name, 0),), ())
    role = dict(beside.others).get(path.name)
    if role and extension is None:
        number = first_image_number(path)
        choose = f"{shown}[{number}] takes" if is_fits(path.name) else "rename it to take"
        raise InputError(
            f"{shown} is a {role} by its name, no image of the sky; {choose} it nevertheless"
        )
    if label_names and len(label_names) > 1:
        raise InputError("--label-names: one file is of one class")
    size = path.stat().st_size if path.is_file() else -1
    entry = Entry(path.name, size, 0, -1, None, 0)
    names = label_names or (UNLABELLED,)
    return Source(path, path.parent, UNLABELLED, names, (), is_fits(path.name), (entry,))


def _refuse_file(path: Path) -> str:
    takes = "import takes .npy and FITS files, and folders of them"
    shown = escape(str(path))
    if path.suffix.lower() not in HDF5:
        return f"{shown} is neither an .npy nor a FITS file; {takes}"
    from simulate.importers.stacks import advise_on_hdf5

    return f"{shown} is an HDF5 file: {advise_on_hdf5(path)}; {takes}"


def _layouts(folder: Path, label_names: tuple[str, ...] | None) -> dict[str, tuple[str, ...]]:
    """Layouts that a folder is in, with the folders of their classes."""
    below = _folders(folder)
    if label_names:
        return {} if below.isdisjoint(label_names) else {"classes": label_names}
    found: dict[str, tuple[str, ...]] = {}
    for kind, classes in class_folders().items():
        present = tuple(name for name in classes if name in below)
        if present and any(has_images(folder / name) for name in present):
            found[kind] = present
    if {HIGH, LOW} <= below:
        found["pairs"] = ()
    here = list_images(folder).images
    if any(is_fits(name) for name, _ in here):
        found[UNLABELLED] = ()
    if not found:
        found |= _folders_of_images(folder, below)
    if not found and here:
        found[UNLABELLED] = ()
    return found


def _folders_of_images(folder: Path, below: set[str]) -> dict[str, tuple[str, ...]]:
    """Folders of FITS files: one for each class, or for each lens."""
    listings = {
        name: list_images(folder / name) for name in sorted(below) if folder_role(name) is None
    }
    fits = {
        name: listing
        for name, listing in listings.items()
        if any(is_fits(image) for image, _ in listing.images)
    }
    if not fits:
        return {}
    kind = LENSES if all(listing.is_one_lens for listing in fits.values()) else "classes"
    return {kind: tuple(fits)}


def _order_classes(kind: str, present: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    names = set(itertools.chain.from_iterable(present))
    if not names:
        return (UNLABELLED,)
    return tuple(sorted(names, key=(*class_folders().get(kind, ()), *sorted(names)).index))


def _rows(
    path: Path, split: str, kind: str, names: tuple[str, ...], number: int, others: dict[str, str]
) -> list[list[Entry]]:
    """Images of one split, a list a class; what is no image of the sky is added to the others."""
    position = number if split else -1
    if kind == "pairs":
        return [list(_pairs(path, split, position, others))]
    folders = [_join(split, name) for name in names] if kind != UNLABELLED else [split]
    rows = [
        [Entry(name, size, label, position, None, 0) for name, size in _files(path, folder, others)]
        for label, folder in enumerate(folders)
    ]
    if kind == LENSES:
        return [[entry._replace(label=0) for row in rows for entry in row]]
    return rows


def _pairs(path: Path, split: str, position: int, others: dict[str, str]) -> Iterator[Entry]:
    """High- and low-resolution files of one name; what has no partner stays without."""
    high, low = (
        {_stem(name, part): (name, size) for name, size in _files(path, _join(split, part), others)}
        for part in (HIGH, LOW)
    )
    for stem in sorted(high.keys() | low.keys()):
        name, size = high.get(stem) or low[stem]
        partner, partner_size = low.get(stem, (None, 0)) if stem in high else (None, 0)
        yield Entry(name, size, 0, position, partner, partner_size)


def _stem(name: str, resolution: str) -> str:
    """The part of a name that both files of a pair have, as ``HR_7.npy`` and ``LR_7.npy``."""
    return re.sub(rf"(?<![A-Za-z]){resolution}(?![A-Za-z])", "", Path(name).name)


def _source(
    path: Path,
    kind: str,
    names: tuple[str, ...],
    splits: tuple[str, ...],
    rows: list[list[list[Entry]]],
    left_out: Mapping[str, int],
) -> Source:
    classes = [list(itertools.chain.from_iterable(parts)) for parts in zip(*rows, strict=True)]
    # Classes take turns, so that any first part of the data set has all of them.
    turns = itertools.chain.from_iterable(itertools.zip_longest(*classes))
    entries = tuple(entry for entry in turns if entry is not None)
    if not entries:
        raise InputError(f"{escape(str(path))} has no .npy or FITS files in its folders; {_KNOWN}")
    empty = [name for name, members in zip(names, classes, strict=True) if not members]
    if empty:
        raise InputError(
            f"{escape(str(path))} has no .npy or FITS files in {', '.join(map(escape, empty))}; "
            "name the classes to import with --label-names, or complete the folder"
        )
    formats = {is_fits(name) for e in entries for name in (e.name, e.low) if name is not None}
    if len(formats) > 1:
        raise InputError(
            f"{escape(str(path))} mixes .npy and FITS files; import each from its own folder"
        )
    shown = tuple(_storable(name) for name in names)
    return Source(path, path, kind, shown, splits, formats.pop(), entries, left_out)


def _storable(name: str) -> str:
    """A name of a class; bytes that are no text cannot be stored."""
    return name if name.isprintable() else plain_text(name)


def _files(path: Path, folder: str, others: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Image files of a folder and their sizes, in the order of their names."""
    listing = list_images(path / folder)
    others |= {_join(folder, name): role for name, role in listing.others}
    for name, size in listing.images:
        yield _join(folder, name), size


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
