"""The files of each lens in the folder of the command, known again by a mark that they carry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from learn.modelling.tables.rows import Row
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_output, path_inside, read_json
from lensphys.ground.locks import replacing_alone

#: Text in every file of the command, by which it is known again, and the bytes in which it stands.
CREATOR = "lensphys model"
_HEAD = 2**16
#: Folder of the files of lenses, below that of the command.
LENSES = "lenses"
#: Endings of the files of a lens: maps, picture, and last of all the row.
MAPS, PICTURE, ROW = ".fits", ".png", ".json"
#: Characters of the name of a file that come from that of a lens.
_LONGEST = 80
#: Types of the parts of a row.
_PARTS = {
    "name": str,
    "values": dict,
    "units": dict,
    "flags": list,
    "notes": list,
    "reason": str,
    "origin": dict,
}


def file_stem(name: str) -> str:
    """The name of a lens as that of a file: letters, digits and ``. _ + -`` alone.

    A digest keeps names apart that would become the same.
    """
    stem = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:_LONGEST].lstrip(".-")
    if name and stem == name:
        return stem
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{stem}-{digest}" if stem else digest


def lens_file(folder: Path, name: str, ending: str) -> Path:
    """The file of a lens with this ending; it need not be there.

    Args:
        folder: of the command.
        name: of the lens.
        ending: one of ``MAPS``, ``PICTURE``, ``ROW``.
    """
    return path_inside(folder, f"{LENSES}/{file_stem(name)}{ending}")


def check_lens(folder: Path, name: str, *, overwrite: bool = False) -> None:
    """Refuse to replace files that the command has not made, before a lens is modelled.

    Args:
        folder: of the command.
        name: of the lens.
        overwrite: replace files of any kind.

    Raises:
        InputError: for one.
    """
    for ending in (MAPS, PICTURE, ROW):
        path = lens_file(folder, name, ending)
        check_output(path, "file of a lens model", is_made, overwrite=overwrite)


def is_made(path: Path) -> bool:
    """Tell whether a FITS file, picture or row is one of the command, by the mark in it."""
    with path.open("rb") as file:
        return CREATOR.encode() in file.read(_HEAD)


def write_row(folder: Path, row: Row) -> None:
    """Write the row of a lens as JSON, whole or not at all."""
    content = {"creator": CREATOR, **dataclasses.asdict(row)}
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with replacing_alone(lens_file(folder, row.name, ROW)) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_row(path: Path) -> Row:
    """Read the row of a lens.

    Raises:
        InputError: for a file that holds none.
    """
    damaged = InputError(f"{path} is damaged; delete it and run the same command again")
    try:
        content = read_json(path)
        creator = content.pop("creator", None)
    except ValueError:
        raise damaged from None
    if creator != CREATOR or not _is_row(content) or file_stem(content["name"]) != path.stem:
        raise damaged
    return Row(**content)


def read_rows(folder: Path) -> list[Row]:
    """Read the rows of all lenses in the folder of the command, by the names of their files.

    Raises:
        InputError: for one that is damaged.
    """
    paths = sorted((folder / LENSES).glob(f"*{ROW}"))
    return [
        read_row(path_inside(folder, f"{LENSES}/{path.name}"))
        for path in paths
        if not path.name.startswith(".")
    ]


def is_complete(folder: Path, row: Row) -> bool:
    """Tell whether a lens was modelled and all its files are there."""
    return not row.reason and all(
        lens_file(folder, row.name, ending).is_file() for ending in (MAPS, PICTURE)
    )


def _is_row(content: dict[str, Any]) -> bool:
    """Tell whether a mapping has the parts of a row, each of its type."""
    if content.keys() != _PARTS.keys():
        return False
    if not all(isinstance(content[name], kind) for name, kind in _PARTS.items()):
        return False
    words = [*content["units"].values(), *content["flags"], *content["notes"]]
    values = content["values"].values()
    return all(isinstance(word, str) for word in words) and all(
        value is None or isinstance(value, float | int | str) for value in values
    )
