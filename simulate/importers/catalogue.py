"""Catalogues of images: a CSV file of paths, with classes and published parts where it has them."""

from __future__ import annotations

import csv
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text
from simulate.importers.errors import escape
from simulate.importers.layouts import CATALOGUE, SAME_PART, SPLITS, UNLABELLED, Entry, Source
from simulate.importers.listing import is_image
from simulate.importers.roles import is_fits

#: Columns of paths, classes and parts; the first that is there counts. ``file_loc`` is zoobot's.
_PATHS = ("file_loc", "file", "path", "filename", "image")
_LABELS = ("label", "class")
_PARTS = ("split",)


def read_catalogue(path: Path, label_names: tuple[str, ...] | None = None) -> Source:
    """The images that a catalogue lists.

    Args:
        path: a CSV file with a header. ``file_loc``, ``file``, ``path``, ``filename`` or ``image``
            is the path of an image, relative to the folder of the catalogue; ``label`` or
            ``class`` its class; ``split`` its part, ``train``, ``val`` or ``test``.
        label_names: classes to take, in the order of their labels; None: all, by their names.

    Raises:
        InputError: for a file that is no such catalogue.
    """
    rows = _read(path)
    shown = escape(str(path))
    names = list(next(iter(rows.values())))
    of_path = next((name for name in _PATHS if name in names), None)
    if of_path is None:
        raise InputError(
            f"{shown} has no column {', '.join(_PATHS[:-1])} or {_PATHS[-1]} with the paths of "
            f"images; its columns are {', '.join(escape(name) for name in names[:12])}"
        )
    of_label, of_part = (
        next((name for name in known if name in names), None) for known in (_LABELS, _PARTS)
    )
    if label_names and of_label is None:
        raise InputError(f"--label-names: {shown} has no column {' or '.join(_LABELS)}")
    classes = _classes(list(rows.values()), of_label, label_names, shown)
    parts = _parts(list(rows.values()), of_part, shown)
    members: dict[str, list[Entry]] = {name: [] for name in classes}
    seen: dict[str, int] = {}
    for number, row in rows.items():
        label = UNLABELLED if of_label is None else row[of_label].strip()
        if label not in members:
            continue
        name = row[of_path].strip()
        if not is_image(name):
            raise InputError(f"{shown}, line {number}: '{escape(name)}' is no .npy or FITS file")
        file = path.parent / name
        if (before := seen.setdefault(os.path.normpath(file), number)) != number:
            raise InputError(f"{shown}, lines {before} and {number}: both are {escape(name)}")
        size = file.stat().st_size if file.is_file() else -1
        part = -1 if of_part is None else parts.index(_part(row[of_part]))
        members[label].append(Entry(name, size, classes.index(label), part, None, 0))
    # Classes take turns, so that any first part of the data set has all of them.
    turns = itertools.chain.from_iterable(itertools.zip_longest(*members.values()))
    entries = tuple(entry for entry in turns if entry is not None)
    kinds = {is_fits(entry.name) for entry in entries}
    if len(kinds) > 1:
        raise InputError(f"{shown} lists .npy and FITS files; import each by its own catalogue")
    shown_names = tuple(plain_text(name) for name in classes)
    return Source(path, path.parent, CATALOGUE, shown_names, parts, kinds.pop(), entries)


def _read(path: Path) -> dict[int, Mapping[str, Any]]:
    """The rows of a file by their lines."""
    shown = escape(str(path))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = dict[int, Mapping[str, Any]]()
            for line in reader:
                rows[reader.line_num] = line
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{shown} is no CSV file: {escape(str(error))}") from None
    if not rows:
        raise InputError(f"{shown} lists no images: it needs a header and a line for each")
    for number, row in rows.items():
        if None in row or None in row.values():
            raise InputError(
                f"{shown}, line {number}: it has another number of columns than the header"
            )
    return rows


def _classes(
    rows: list[Mapping[str, Any]],
    column: str | None,
    wanted: tuple[str, ...] | None,
    shown: str,
) -> tuple[str, ...]:
    """Names of the classes, in the order of their labels."""
    if column is None:
        return (UNLABELLED,)
    there = {row[column].strip() for row in rows}
    if "" in there and not wanted:
        raise InputError(
            f"{shown} has images without a {column}; choose the others with --label-names a,b, or "
            "take the column away to import all without labels"
        )
    for name in wanted or ():
        if name not in there:
            known = ", ".join(escape(each) for each in sorted(there)[:12])
            raise InputError(
                f"--label-names: {shown} has no {column} '{escape(name)}'; there are {known}"
            )
    return wanted or tuple(sorted(there, key=_in_order))


def _in_order(name: str) -> tuple[bool, float, str]:
    """Numbers by their size, before words."""
    try:
        return False, float(name), name
    except ValueError:
        return True, 0.0, name


def _parts(rows: list[Mapping[str, Any]], column: str | None, shown: str) -> tuple[str, ...]:
    """Names of the published parts."""
    if column is None:
        return ()
    there = {_part(row[column]) for row in rows}
    if unknown := sorted(there.difference(SPLITS)):
        raise InputError(
            f"{shown}: {column} is {', '.join(SPLITS)}, not '{escape(unknown[0])}'; rename or "
            "remove the column"
        )
    return tuple(name for name in SPLITS if name in there)


def _part(name: str) -> str:
    plain = name.strip().lower()
    return SAME_PART.get(plain, plain)
