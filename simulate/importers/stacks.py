"""Images to look at, one by one: the planes of HDF5 shards, .npy arrays and FITS files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lensphys.ground.program import program
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.hdf5 import open_hdf5
from simulate.importers.listing import role_of
from simulate.importers.npy import map_npy, planes, read_npy
from simulate.importers.packed import check_regular, first_image_number
from simulate.importers.roles import (
    HDF5,
    Neighbours,
    folder_role,
    is_fits,
    split_extension,
)
from simulate.importers.stack import Stack
from simulate.shards import MANIFEST

#: Relative, of the two sides of a pixel that count as equal.
_SQUARE = 0.01


def find_files(path: Path, leave_out: Callable[[Path, str], None] | None = None) -> list[Path]:
    """The files of an input: itself, the shards of a data set, or all images below a folder.

    Noise maps, PSFs, masks and the like are left out, as far as their names tell. An extension may
    be chosen, ``cutout.fits[SCI]``.

    Args:
        path: of a file, a data set or a folder.
        leave_out: called with each file that is left out, and with the reason.

    Raises:
        BrokenFileError: if there is none.
    """
    file, extension = split_extension(path)
    if extension is not None and not file.is_dir():
        return [path]
    if not path.is_dir():
        if not os.path.lexists(path):
            raise BrokenFileError("there is no such file or folder")
        if role := role_of(path, _neighbours(path)):
            raise BrokenFileError(_refusal(path, role))
        return [path]
    if (role := folder_role(path.resolve().name)) and not (path / MANIFEST).is_file():
        raise BrokenFileError(f"by its name it is a folder of {role}s, no images of the sky")
    if (path / MANIFEST).is_file():
        found = sorted(path.glob("shard-*.h5"))
    else:
        found = sorted(_images_below(path, leave_out))
    if not found:
        raise BrokenFileError("there are no images (.fits, .npy, .h5) in it")
    return found


def _images_below(path: Path, leave_out: Callable[[Path, str], None] | None) -> Iterator[Path]:
    """Images of the sky below a folder, in the order of their names."""
    omit = leave_out or (lambda file, reason: None)

    def refuse(error: OSError) -> None:
        omit(Path(error.filename), f"it cannot be read: {error.strerror}")

    for name, folders, files in os.walk(path, onerror=refuse):
        folders.sort()
        folder, images = Path(name), sorted(filter(_is_image, files))
        beside = Neighbours(images)
        between = folder.relative_to(path).parts
        of_folder = next((role for part in between if (role := folder_role(part))), None)
        for image in images:
            role = of_folder or role_of(folder / image, beside)
            if role is None:
                yield folder / image
            else:
                omit(folder / image, _refusal(folder / image, role))


def _neighbours(path: Path) -> Neighbours:
    try:
        return Neighbours([child.name for child in path.parent.iterdir() if _is_image(child.name)])
    except OSError:
        return Neighbours(())


def _refusal(path: Path, role: str) -> str:
    reason = f"by its name it is a {role}, no image of the sky"
    if not is_fits(path.name):
        return f"{reason}; rename it to take it nevertheless"
    return f"{reason}; {escape(str(path))}[{first_image_number(path)}] takes it nevertheless"


@contextmanager
def open_stack(path: Path, column: str = "image", hdu: str | None = None) -> Iterator[Stack]:
    """The images of a file.

    Args:
        path: an HDF5 shard; a .npy file of an image (ny, nx), images (N, ny, nx) or (N, 1, ny, nx),
            or of the published ``[image, mass]``; a FITS file of an image or a cube of images.
        column: of a shard; one that has no such column shows its ``image``.
        hdu: name or number of the extension of a FITS file to take.

    Raises:
        BrokenFileError: for a file that cannot be read, here or when a plane is asked for.
    """
    try:
        file, extension = split_extension(path)
        check_regular(file)
        if file.name.lower().endswith(HDF5):
            with open_hdf5(file, column) as stack:
                yield stack
        elif is_fits(file.name):
            with _fits(file, hdu or extension) as stack:
                yield stack
        elif file.name.lower().endswith(".npy"):
            yield _npy(file)
        else:
            raise BrokenFileError("it is no .fits, .npy or .h5 file")
    except OSError as error:
        raise BrokenFileError(f"it cannot be read: {error.strerror or error}") from None


def advise_on_hdf5(path: Path) -> str:
    """The command that reads the images of an HDF5 file, or the reason why none does."""
    try:
        with open_stack(path):
            command = f"{program()} predict RUN {shlex.quote(str(path))}"
            return f"`{command}` reads its images as they are"
    except BrokenFileError as error:
        return str(error)


def _is_image(name: str) -> bool:
    known = is_fits(name) or name.lower().endswith((".npy", *HDF5))
    return known and not name.startswith(".")


def _npy(path: Path) -> Stack:
    pixels = map_npy(path)
    if pixels is None:  # one image in one object array
        image = read_npy(path)[0]
        return Stack(1, lambda index: image)
    count, shape = planes(pixels.shape)
    images = pixels.reshape(count, *shape)
    return Stack(count, lambda index: np.asarray(images[index]))


@contextmanager
def _fits(path: Path, hdu: str | None) -> Iterator[Stack]:
    from simulate.importers.fits import opened_image

    with opened_image(path, hdu) as image:
        count, shape = planes(image.shape)
        scale = None
        if image.pixel_widths:
            x, y = image.pixel_widths
            if abs(x / y - 1) > _SQUARE:
                raise BrokenFileError(f"its pixels are {x:.4g} x {y:.4g} arcsec, not square")
            scale = (x * y) ** 0.5
        unit = escape(image.unit) if image.unit else None
        wcs = image.wcs if scale else None
        times = np.full(count, image.exposure_time)
        notes = tuple(note for note in (image.note, *image.remarks) if note)
        yield Stack(
            count,
            lambda i: image.plane(i).reshape(shape),
            scale,
            unit,
            wcs,
            times,
            image.header,
            notes,
        )
