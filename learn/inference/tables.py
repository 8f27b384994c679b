"""Tables of predictions: CSV, ECSV and FITS, which readers without the program understand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray
from torch import Tensor

from learn.inference.cutouts import Cutout
from learn.inference.outputs import FIRST, FORMATS, LAST, is_table, writing
from learn.inference.sky_columns import UNITS, angle_columns, find_skies, place_columns
from learn.tasks.base import Task
from learn.tasks.outliers import NOT_COMPUTED, Resemblance
from lensphys.ground.files import check_output
from lensphys.ground.locks import replacing_alone
from lensphys.ground.names import ascii_text, plain_text

#: Units of labels, as astropy calls them and as FITS does, which has none for a logarithm.
_UNITS = {
    "AB mag": ("mag(AB)", "mag"),
    "e-/s": ("electron / s", "electron/s"),
    "e-/s/arcsec^2": ("electron / (s arcsec2)", "electron/s/arcsec**2"),
    "log10 eV": ("dex(eV)", ""),
    "solar masses": ("solMass", "solMass"),
}
#: Those of their errors.
_OF_ERRORS = _UNITS | {"AB mag": ("mag", "mag"), "log10 eV": ("dex", "")}
#: Characters that FITS has for the name of a column.
_LONGEST_NAME = 64


class Predicted(NamedTuple):
    """Predictions of a batch of images."""

    cutouts: list[Cutout]
    values: Tensor
    """(B, ...) what the network returns; NaN where that is no result"""
    known: NDArray[np.bool_]
    """(B,) false where it could not be computed"""
    judged: Resemblance | None
    """how the images resemble those of the training; None of a network that has not learned it"""

    @property
    def flags(self) -> NDArray[np.str_]:
        """(B,) flags in words, empty for ordinary images."""
        words = np.full(len(self.known), "") if self.judged is None else self.judged.flags
        return np.where(self.known, words, NOT_COMPUTED)


Predictions = Iterable[Predicted]


def write_table(out: Path, predictions: Predictions, task: Task, *, overwrite: bool) -> int:
    """Write a table with a row for each image; return their number.

    Numbers that could not be computed are NaN, words are empty, and the flag tells of it.

    Args:
        out: the table.
        predictions: of images in batches.
        task: names the columns.
        overwrite: replace a file of any kind.

    Raises:
        InputError: if it cannot be written.
    """
    rows = [_columns(predicted, task) for predicted in predictions]
    if not rows:
        return 0
    joined = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    with writing(out):
        place = check_output(out, "table of predictions", is_table, overwrite=overwrite)
        place.parent.mkdir(parents=True, exist_ok=True)  # where a link leads
        with replacing_alone(place) as temporary:
            table = _make_table(joined, out.suffix)
            _write(table, dict(zip(table.colnames, joined, strict=True)), task, out, temporary)
    return len(joined[FIRST[0]])


def _columns(predicted: Predicted, task: Task) -> dict[str, NDArray[Any]]:
    """The columns of some rows; those of the task keep clear of the others."""
    batch, judged = predicted.cutouts, predicted.judged
    names, index = FIRST
    bad, flag = LAST
    columns: dict[str, NDArray[Any]] = {
        names: np.array([plain_text(cutout.path) for cutout in batch]),
        index: np.array([cutout.index for cutout in batch]),
    }
    skies = find_skies(batch)
    columns |= place_columns(skies)
    judgement = {} if judged is None else judged.columns
    own = task.table(predicted.values)
    for name, column in (own | angle_columns(own, skies)).items():
        taken = name in columns or name in LAST or name in judgement
        columns[f"prediction_{name}" if taken else name] = column
    columns |= {n: np.where(predicted.known, values, np.nan) for n, values in judgement.items()}
    columns[bad] = np.array([cutout.bad for cutout in batch])
    columns[flag] = predicted.flags
    return columns


def _write(table: Table, keys: Mapping[str, str], task: Task, out: Path, place: Path) -> None:
    """Write a table with the units of its columns.

    Args:
        table: to write.
        keys: name of a column to that which its unit is known by.
        task: knows the units of its columns.
        out: its ending names the format.
        place: to write to.
    """
    known = UNITS | task.units
    units = {}
    for name, key in keys.items():
        if unit := known.get(key):
            # The error of a logarithm has no zero point.
            spelled = _OF_ERRORS if key.endswith("_error") else _UNITS
            units[name] = spelled.get(unit, (unit, unit))
    if out.suffix == ".fits":
        hdu = fits.table_to_hdu(table)
        for name, (_, unit) in units.items():
            if unit:
                hdu.columns.change_unit(name, unit)
        hdu.writeto(place)
        return
    for name, (unit, _) in units.items():
        table[name].unit = unit
    table.write(place, format=FORMATS[out.suffix])


def _make_table(columns: dict[str, NDArray[Any]], ending: str) -> Table:
    """A table as its format can hold it: FITS knows ASCII alone, and all want a line a row."""
    ascii_only = ending == ".fits"
    failed = columns[LAST[1]] == NOT_COMPUTED
    show = ascii_text if ascii_only else plain_text
    names = _unique([show(name) for name in columns], ascii_only)
    table = Table()
    for name, column in zip(names, columns.values(), strict=True):
        values = column
        if column.dtype.kind == "b" and ascii_only and failed.any():
            values = values.astype(str)  # a verdict of FITS is true or false, and here are others
        if values.dtype.kind == "U":
            values = np.array([show(text) for text in values])
        if values.dtype.kind in "Ub" and name not in FIRST + LAST:
            # Neither a class nor a verdict follows from what could not be computed.
            values = np.where(failed, np.zeros((), values.dtype), values)
            if failed.any() and not ascii_only:
                values = MaskedColumn(values, mask=failed)
        table[name] = values
    return table


def _unique(names: Sequence[str], ascii_only: bool) -> list[str]:
    """Names of columns that differ: in FITS capitals do not count, nor the end of a long name."""
    taken: set[str] = set()
    unique = []
    for name in names:
        short = name[:_LONGEST_NAME] if ascii_only else name
        chosen, number = short, 1
        while (key := chosen.lower() if ascii_only else chosen) in taken:
            number += 1
            chosen = f"{short}_{number}"
        taken.add(key)
        unique.append(chosen)
    return unique
