"""The files of a lens that was modelled, or could not be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from learn.modelling.lens_model import LensModel
from learn.modelling.maps.maps import make_maps
from learn.modelling.maps.maps_file import write_maps
from learn.modelling.maps.pictures import draw_lens
from learn.modelling.tables.row_files import LENSES, MAPS, PICTURE, check_lens, lens_file, write_row
from learn.modelling.tables.rows import Row, make_row


def write_lens(
    model: LensModel,
    folder: Path,
    *,
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the FITS file and the picture of a lens and, last, its row: then all of it is there.

    Args:
        model: of the lens.
        folder: of the command.
        origin: that which the model was made from, as JSON holds it; kept in the row.
        overwrite: replace files that the command has not made.

    Raises:
        InputError: for such files, and on a disk that takes no more.
    """
    data = model.data
    check_lens(folder, data.name, overwrite=overwrite)
    (folder / LENSES).mkdir(parents=True, exist_ok=True)
    row, maps = make_row(model, origin), make_maps(model)
    write_maps(lens_file(folder, row.name, MAPS), maps, row, data.wcs, data.pixel_scale)
    draw_lens(lens_file(folder, row.name, PICTURE), maps, row, data.wcs)
    write_row(folder, row)


def write_failure(
    name: str,
    reason: str,
    folder: Path,
    *,
    ra: float | None = None,
    dec: float | None = None,
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the row of a lens that has no model.

    Args:
        name: of the lens.
        reason: in a line.
        folder: of the command.
        ra, dec: of the catalogue, degrees.
        origin: see :func:`write_lens`.
        overwrite: replace files that the command has not made.

    Raises:
        InputError: for such files, and on a disk that takes no more.
    """
    check_lens(folder, name, overwrite=overwrite)
    (folder / LENSES).mkdir(parents=True, exist_ok=True)
    write_row(folder, Row(name, {"ra": ra, "dec": dec}, reason=reason, origin=dict(origin or {})))
