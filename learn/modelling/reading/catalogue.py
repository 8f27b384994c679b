"""Catalogues of lenses: a CSV file with a row for each, and the files that it names."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path

from learn.modelling.reading.lens_files import Given, LensFiles
from lensphys.ground.config import suggestion
from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text, shorten
from simulate.importers.errors import escape
from simulate.importers.roles import split_extension

#: Columns that a catalogue must have, and those that it may have.
REQUIRED = ("name", "image", "noise", "psf")
OPTIONAL = ("mask", "pixel_scale", "z_lens", "z_source", "ra", "dec")
_FILES = ("image", "noise", "psf", "mask")
#: Bytes that a catalogue may have.
_LARGEST = 2**26
#: Cells that hold no value.
_EMPTY = ("", "-", "--", "nan", "none", "null", "n/a")

_POSITIVE = (lambda value: value > 0, "a number above 0")
#: The range of each number.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "pixel_scale": _POSITIVE,
    "z_lens": _POSITIVE,
    "z_source": _POSITIVE,
    "ra": (lambda value: 0 <= value <= 360, "an angle of 0 to 360 degrees"),
    "dec": (lambda value: abs(value) <= 90, "an angle of -90 to 90 degrees"),
}


def read_catalogue(path: Path, given: Given) -> list[LensFiles]:
    """The lenses of a catalogue; what is wrong with a row is noted in its ``fault``.

    Paths in the catalogue are relative to its folder. An empty cell means the file that an option
    gives, else the planes in the file of the image.

    Args:
        path: of a CSV file with the columns ``name,image,noise,psf`` and perhaps
            ``mask,pixel_scale,z_lens,z_source,ra,dec``; others are left alone.
        given: by options.

    Raises:
        InputError: for a file that cannot be read, lacks a column or holds no row.
    """
    lenses = [_lens(path, number, row, given) for number, row in enumerate(_rows(path), 1)]
    if not lenses:
        raise InputError(f"{path} holds no lens: it has no row below the names of its columns")
    return lenses


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a catalogue, by the names of the known columns."""
    try:
        if not path.is_file():
            raise InputError(f"{path}: there is no such catalogue")
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is larger than {_LARGEST >> 20} MiB; it is no catalogue")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the catalogue {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no catalogue: it is not UTF-8") from None
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    table = csv.reader(lines, skipinitialspace=True)
    try:
        names = [name.strip().lower() for name in next(table, [])]
        _check_columns(path, names)
        for cells in table:
            if not any(cell.strip() for cell in cells):  # as spreadsheets write an empty row
                continue
            yield {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file: {error}") from None


def _check_columns(path: Path, names: list[str]) -> None:
    known = [name for name in names if name in (*REQUIRED, *OPTIONAL)]
    for name in REQUIRED:
        if name not in names:
            others = [shorten(plain_text(other), 40) for other in names if other not in known]
            near = suggestion(name, others) if others else ""
            near = near if "did you mean" in near else ""
            if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
                near = " between commas"
            raise InputError(
                f"{path} lacks the column '{name}'{near.replace('did you mean', 'is it')}; a "
                f"catalogue has the columns {','.join(REQUIRED)} and perhaps {','.join(OPTIONAL)}"
            )
    for name in known:
        if names.count(name) > 1:
            raise InputError(f"{path} has two columns '{name}'")


def _lens(path: Path, number: int, row: dict[str, str], given: Given) -> LensFiles:
    name = row.get("name", "")
    place = f"{path.name}, row {number}"
    faults: list[str] = []
    if not name:
        faults.append("it has no name")
    values = {key: _number(row.get(key, ""), key, faults) for key in _RANGES}
    if values["z_lens"] and values["z_source"] and values["z_lens"] >= values["z_source"]:
        faults.append("its z_lens is not below its z_source")
    files = {key: _file(path.parent, row.get(key, ""), key, faults) for key in _FILES}
    image = files.pop("image")
    if image is None and not faults:
        faults.append("it names no image")
    return LensFiles(
        name=name or f"row {number}",
        image=image or path.parent,
        noise=files["noise"] or given.noise,
        psf=files["psf"] or given.psf,
        mask=files["mask"] or given.mask,
        **values,
        place=place,
        fault="; ".join(faults),
    )


def _number(cell: str, name: str, faults: list[str]) -> float | None:
    """The number in a cell; None for an empty one."""
    if cell.lower() in _EMPTY:
        return None
    allowed, words = _RANGES[name]
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and allowed(value):
        return value
    faults.append(f"its {name} '{shorten(escape(cell), 40)}' is not {words}")
    return None


def _file(folder: Path, cell: str, name: str, faults: list[str]) -> Path | None:
    """The file that a cell names; None for an empty one."""
    if cell.lower() in _EMPTY:
        return None
    path: Path | None = folder / cell
    try:
        found = split_extension(folder / cell)[0].exists()
    except (OSError, ValueError):  # a name that is too long, or a character that none may have
        found, path = False, None
    if not found:
        faults.append(f"there is no {name} file '{shorten(escape(cell), 120)}'")
    return path
