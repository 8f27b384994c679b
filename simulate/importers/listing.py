"""Image files of a folder, and those beside them that are no images of the sky."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from simulate.importers.packed import first_image_number
from simulate.importers.roles import Neighbours, file_role, is_fits, names_no_object


class Listing(NamedTuple):
    """Files of a folder by their names, in order."""

    images: tuple[tuple[str, int], ...]
    """name and size in bytes; -1 for a folder, a link to nothing and the like"""
    others: tuple[tuple[str, str], ...]
    """name and role of what is no image of the sky: noise maps, PSFs, masks"""

    @property
    def is_one_lens(self) -> bool:
        """True for the data of one lens: an image with its noise map, PSF or mask."""
        plain = any(names_no_object(name) for name, _ in self.others)
        return bool(self.images) and bool(self.others) and (len(self.images) == 1 or plain)


def list_images(folder: Path) -> Listing:
    """The image files of a folder, .npy and FITS; whatever they are, their names decide."""
    if not folder.is_dir():
        return Listing((), ())
    with os.scandir(folder) as scan:
        # Archives made on a Mac bring a "._1.npy" beside each "1.npy".
        found = sorted(
            (child.name, _size(child))
            for child in scan
            if is_image(child.name) and not child.name.startswith(".")
        )
    beside = Neighbours([name for name, _ in found])
    roles = {name: role for name, _ in found if (role := role_of(folder / name, beside))}
    images = tuple(item for item in found if item[0] not in roles)
    return Listing(images, tuple(roles.items()))


def role_of(path: Path, beside: Neighbours) -> str | None:
    """The role of a file; None for an image of the sky.

    Its name decides, unless it holds a science image with its planes: ``DQ.fits`` may.
    """
    role = file_role(path.name, beside)
    if role is None or not is_fits(path.name) or not first_image_number(path):
        return role
    from simulate.importers.fits import has_science

    return None if has_science(path) else role


def has_images(folder: Path) -> bool:
    """True for a folder with an image file of whatever role."""
    with os.scandir(folder) as scan:
        return any(is_image(child.name) and not child.name.startswith(".") for child in scan)


def list_folders(folder: Path) -> Iterator[str]:
    """Names of the folders in a folder, hidden ones left out."""
    with os.scandir(folder) as scan:
        for child in scan:
            try:
                is_folder = child.is_dir()
            except OSError:  # links in a circle
                continue
            if is_folder and not child.name.startswith(".") and not is_image(child.name):
                yield child.name


def is_image(name: str) -> bool:
    """True for the name of an .npy or FITS file."""
    return name.lower().endswith(".npy") or is_fits(name)


def _size(child: os.DirEntry[str]) -> int:
    try:
        found = child.stat()
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1
