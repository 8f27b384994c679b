"""The files of a folder that a report reads: inside of it, regular, and not larger than a limit.

A folder may come from someone else. What it links to would end up on a page that is sent around.
"""

from __future__ import annotations

import os
from pathlib import Path

from lensphys.ground.errors import InputError
from lensphys.ground.files import path_inside
from lensphys.ground.room import describe_bytes

#: Bytes of a file that a report reads, by the ending of its name. The content takes up to fifty
#: times as much memory; files of our own stay below a hundredth of these.
LARGEST = {".json": 4_000_000, ".yaml": 1_000_000, ".csv": 32_000_000, ".png": 32_000_000}


def find_file(folder: Path, name: str) -> Path | None:
    """The file of this name in a folder; None where there is none.

    Raises:
        InputError: for a link that leads out of the folder, no regular file, or one that is too
            large.
    """
    if not os.path.lexists(folder / name):
        return None
    path = path_inside(folder, name)
    size, largest = path.stat().st_size, LARGEST[path.suffix]
    if size > largest:
        raise InputError(
            f"{path} has {describe_bytes(size)}, and a report reads {describe_bytes(largest)} at "
            f"most of a {path.suffix} file; move it elsewhere"
        )
    return path


def find_files(folder: Path, ending: str) -> list[Path]:
    """The files of a folder whose names end like this, by name; see :func:`find_file`.

    Raises:
        InputError: for one of them.
    """
    found = [find_file(folder, path.name) for path in sorted(folder.glob(f"*{ending}"))]
    return [path for path in found if path]
