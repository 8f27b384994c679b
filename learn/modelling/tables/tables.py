"""The table of all lenses, as CSV and FITS, made anew from their rows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from learn.modelling.tables.columns import describe_column, fits_unit
from learn.modelling.tables.row_files import CREATOR, is_made
from learn.modelling.tables.rows import Row, Value
from lensphys.ground.files import check_output
from lensphys.ground.locks import replacing_alone
from lensphys.ground.names import ascii_text, plain_text

#: The files: the table twice, and the units and meanings of its columns, which CSV has no place
#: for.
CSV, FITS, COLUMNS = "table.csv", "table.fits", "columns.csv"
#: The first columns of every table; those of the numbers follow.
FIRST = ("name", "ra", "dec", "flags", "reason")
_COLUMNS_HEAD = ("column", "unit", "meaning")


def check_tables(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace tables that the command has not made, before anything is modelled.

    Raises:
        InputError: for one.
    """
    for name, is_ours in ((CSV, _is_csv), (FITS, is_made), (COLUMNS, _is_columns)):
        check_output(folder / name, "table of lens models", is_ours, overwrite=overwrite)


def write_tables(rows: Sequence[Row], folder: Path, *, overwrite: bool = False) -> None:
    """Write ``table.csv``, ``table.fits``, and ``columns.csv`` with units and meanings of columns.

    A row a lens, in this order; the columns are those of all lenses together. What a lens does not
    have, or the data do not constrain, is NaN in FITS and empty in CSV. A column has a unit if that
    of all lenses is the same.

    Args:
        rows: of the lenses.
        folder: to write to.
        overwrite: replace files that the command has not made.

    Raises:
        InputError: for such files.
    """
    check_tables(folder, overwrite=overwrite)
    names = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row.values)]))
    units = {name: _shared_unit(rows, name) for name in names}
    with replacing_alone(folder / CSV) as temporary:
        lines = [[_as_text(cell) for cell in _cells(row, names)] for row in rows]
        _write_csv(temporary, [names, *lines])
    with replacing_alone(folder / COLUMNS) as temporary:
        _write_csv(temporary, [_COLUMNS_HEAD, *((n, units[n], describe_column(n)) for n in names)])
    with replacing_alone(folder / FITS) as temporary:
        _make_fits(rows, names, units).writeto(temporary)


def _cells(row: Row, names: Sequence[str]) -> list[Value]:
    first = {"name": row.name, "flags": "; ".join(row.flags), "reason": row.reason}
    return [{**row.values, **first}.get(name) for name in names]


def _shared_unit(rows: Sequence[Row], name: str) -> str:
    units = {row.units.get(name, "") for row in rows if row.values.get(name) is not None}
    return units.pop() if len(units) == 1 else ""


def _as_text(cell: Value) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return plain_text(cell)
    return repr(int(cell) if isinstance(cell, bool) else cell)


def _make_fits(rows: Sequence[Row], names: Sequence[str], units: dict[str, str]) -> fits.HDUList:
    """The table as FITS, which takes units of any kind from here, where a Table would drop some."""
    cells = [_cells(row, names) for row in rows]
    columns = [
        _as_column(name, [line[place] for line in cells], units[name])
        for place, name in enumerate(names)
    ]
    table = fits.BinTableHDU.from_columns(columns, name="LENSES")
    table.header["CREATOR"] = CREATOR
    for number, name in enumerate(names, 1):
        words = describe_column(name)
        if units[name] and not fits_unit(units[name]):
            words += f", in {ascii_text(units[name])}"
        table.header[f"TCOMM{number}"] = words
    first = fits.PrimaryHDU()
    first.header["CREATOR"] = CREATOR
    return fits.HDUList([first, table])


def _as_column(name: str, values: Sequence[Value], unit: str) -> fits.Column:
    """A column of FITS: text in ASCII, or float64, in which yes and no are 1 and 0."""
    known_unit = fits_unit(unit)
    if any(isinstance(value, str) for value in values):
        words = np.array(["" if value is None else ascii_text(value) for value in values])
        return fits.Column(name, f"{max(1, words.itemsize // 4)}A", known_unit, array=words)
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    return fits.Column(name, "D", known_unit, array=numbers)


def _write_csv(path: Path, lines: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def _is_csv(path: Path) -> bool:
    return _head(path)[: len(FIRST)] == list(FIRST)


def _is_columns(path: Path) -> bool:
    return _head(path) == list(_COLUMNS_HEAD)


def _head(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])
