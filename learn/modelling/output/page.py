"""The page on all lenses, in one file: a table to sort, and the picture of each lens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from learn.modelling.tables.row_files import LENSES, PICTURE, lens_file, read_rows
from learn.modelling.tables.rows import Row, Value, with_error
from learn.modelling.tables.tables import COLUMNS, CSV, FITS
from learn.reporting.html_page import Section, is_page, render_page
from learn.reporting.own_files import find_file
from learn.reporting.pictures import Picture, read_picture
from learn.reporting.table import Entry, Table
from lensphys.ground.files import check_output
from lensphys.ground.locks import replacing_alone

PAGE = "index.html"
#: Characters of all pictures of a page; those of further lenses are named instead.
_MOST = 256_000_000
#: Columns of the table with the value and its error, and their heads.
_MEASURED = {
    "theta_E": "theta_E [arcsec]",
    "gamma": "slope",
    "mass_q": "q",
    "mass_pa": "PA [deg]",
    "shear": "shear",
    "shear_pa": "shear PA [deg]",
}
#: Facts below the name of each lens, with their units.
_FACTS = {
    "theta_E": "Einstein radius",
    "einstein_mass": "mass inside",
    "gamma": "slope of the density",
    "mass_q": "axis ratio of the mass",
    "mass_phi": "angle of the mass, from +x to +y",
    "mass_pa": "position angle of the mass, East of North",
    "lens_light_q": "axis ratio of the lens light",
    "lens_light_pa": "position angle of the lens light, East of North",
    "shear": "shear",
    "shear_phi": "angle of the shear, from +x to +y",
    "shear_pa": "position angle of the shear, East of North",
}
_UNITS = {"deg": "degrees", "solMass": "solar masses"}
_NOTE = (
    f"A click on a head, or Enter, sorts the table by that column. All parameters with errors are "
    f"in {CSV} and {FITS}, the meanings of the columns in {COLUMNS}, and the maps of each lens "
    f"in {LENSES}/."
)
_MISSING = Entry("\u2013")
_PANELS = (
    "six panels, in arcsec: image, image less lens light, model, residual in sigma, source in its "
    "plane, and the least mass that would be seen or the lensed source."
)
_CAPTION = (
    "{}: image, image less lens light and model; residual in sigma, source in its plane with "
    "caustics, and the least mass that would be seen. Lines on the image are critical curves."
)


def check_page(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse to replace a file that is no page of the program.

    Raises:
        InputError: for one.
    """
    check_output(folder / PAGE, "page of the program", is_page, overwrite=overwrite)


def write_page(folder: Path, *, overwrite: bool = False) -> Path:
    """Write ``index.html`` on all lenses in the folder of the command.

    It needs no other file and no network. Flags stand in the table and above the picture.

    Args:
        folder: of the command, with the rows and pictures of lenses.
        overwrite: replace a file that is no page of the program.

    Returns:
        The file.

    Raises:
        InputError: for such a file, or a damaged row or picture.
    """
    check_page(folder, overwrite=overwrite)
    rows = read_rows(folder)
    sections, held = [Section("", notes=[_NOTE], tables=[_make_table(rows)])], 0
    for number, row in enumerate(rows, 1):
        section = _describe(row, f"lens-{number}")
        picture = None if row.reason else _find_picture(folder, row)
        if picture is not None and held + len(picture.source) <= _MOST:
            held += len(picture.source)
            section.pictures.append(picture)
        elif picture is not None:
            name = lens_file(folder, row.name, PICTURE).name
            section.notes.append(f"This page has no room for the picture: see {LENSES}/{name}.")
        sections.append(section)
    failed = sum(bool(row.reason) for row in rows)
    flagged = sum(bool(row.flags) for row in rows)
    lead = f"{_count(len(rows) - failed, 'lens', 'lenses')} modelled, {flagged} with flags"
    lead += f"; {failed} without a model." if failed else "."
    content = render_page(f"Lens models: {folder.resolve().name}", lead, sections)
    with replacing_alone(folder / PAGE) as temporary:
        # Names may hold bytes that are no text.
        temporary.write_bytes(content.encode("utf-8", "backslashreplace"))
    return folder / PAGE


def _find_picture(folder: Path, row: Row) -> Picture | None:
    path = find_file(folder / LENSES, lens_file(folder, row.name, PICTURE).name)
    return (
        None
        if path is None
        else read_picture(path, _CAPTION.format(row.name), _picture_in_words(row))
    )


def _picture_in_words(row: Row) -> str:
    """The description of the picture of a lens: its panels, and what was found."""
    values, numbers = row.values, []
    if (radius := values.get("theta_E")) is not None:
        error = with_error(radius, values.get("theta_E_error"))
        numbers.append(f"Einstein radius {error} arcsec")
    if (chi2 := values.get("chi2_dof")) is not None:
        numbers.append(f"chi^2/dof {float(chi2):.3f}")
    return f"{row.name}: {_PANELS}" + "".join(f" {number}." for number in numbers)


def _make_table(rows: Sequence[Row]) -> Table:
    """The most important columns, of which those that no lens has are left out."""
    shown = {
        column: head
        for column, head in _MEASURED.items()
        if any(row.values.get(column) is not None for row in rows)
    }
    head = ("name", "flags", "chi^2/dof")
    tail = ("log evidence", "converged", "seconds")
    lines = []
    for number, row in enumerate(rows, 1):
        values = row.values
        converged = values.get("converged")
        lines.append(
            [
                Entry(row.name, None, f"lens-{number}"),
                Entry(_warn(row)) if _warn(row) else _MISSING,
                _number(values.get("chi2_dof"), ".3f"),
                *(_measured(row, column) for column in shown),
                _number(values.get("evidence"), ".1f"),
                _MISSING if converged is None else Entry("yes" if converged else "no"),
                _number(values.get("seconds"), ".1f"),
            ]
        )
    return Table("All lenses", (*head, *shown.values(), *tail), lines)


def _warn(row: Row) -> str:
    return f"no model: {row.reason}" if row.reason else "; ".join(row.flags)


def _measured(row: Row, column: str) -> Entry:
    value, error = row.values.get(column), row.values.get(f"{column}_error")
    return _MISSING if value is None else Entry(with_error(value, error), float(value))


def _number(value: Value, form: str) -> Entry:
    return _MISSING if value is None else Entry(format(float(value), form), float(value))


def _describe(row: Row, anchor: str) -> Section:
    """The facts on a lens, with its warnings and remarks."""
    warnings = [f"No model: {row.reason}"] if row.reason else []
    warnings += [f"Flag: {flag}" for flag in row.flags]
    facts = []
    for column, words in _FACTS.items():
        value = row.values.get(column)
        if value is not None:
            shown = with_error(value, row.values.get(f"{column}_error"))
            unit = row.units.get(column, "")
            facts.append((words, f"{shown} {_UNITS.get(unit, unit)}".rstrip()))
    if (chi2 := row.values.get("chi2_dof")) is not None:
        facts.append(("chi^2/dof", f"{float(chi2):.3f}"))
    return Section(row.name, facts=facts, warnings=warnings, notes=list(row.notes), anchor=anchor)


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
