"""Draws from the posterior of a lens, as a FITS table beside its other files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits

import lensphys as lp
from learn.modelling.lens_model import LensModel
from learn.modelling.tables.columns import describe_column, parameter_unit
from learn.modelling.tables.row_files import CREATOR, file_stem, is_made
from lensphys.ground.files import check_output, path_inside
from lensphys.ground.locks import replacing_alone
from lensphys.ground.names import ascii_text

#: The folder of the draws, in that of the command.
DRAWS = "draws"


def draws_file(folder: Path, name: str) -> Path:
    """The file with the draws of a lens; it need not be there.

    Args:
        folder: of the command.
        name: of the lens.
    """
    return path_inside(folder, f"{DRAWS}/{file_stem(name)}.fits")


def write_draws(
    model: LensModel, folder: Path, count: int, seed: int, *, overwrite: bool = False
) -> None:
    """Draw from the posterior of a lens, and write a row for each draw, a column a parameter.

    The header has ``RHAT``, the largest of all parameters, ``ESS``, the least effective number of
    independent draws, and ``SEED``.

    Args:
        model: of the lens.
        folder: of the command.
        count: number of draws.
        seed: of the random numbers.
        overwrite: replace a file that the command has not made.

    Raises:
        InputError: for such a file.
        ValueError: for a model without free parameters.
    """
    path = draws_file(folder, model.data.name)
    check_output(path, "table of draws", is_made, overwrite=overwrite)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the header has R-hat
        draws = lp.sample(model.result, count, seed=seed)
    columns = [
        fits.Column(name, "D", _fits_unit(name, model.data.unit), array=values[:, 0].cpu().numpy())
        for name, values in draws.items()
    ]
    table = fits.BinTableHDU.from_columns(columns, name="DRAWS")
    for number, name in enumerate(draws, 1):
        table.header[f"TCOMM{number}"] = describe_column(name)
    header = table.header
    header["CREATOR"] = CREATOR
    header["OBJECT"] = (ascii_text(model.data.name)[:60], "name of the lens")
    header["SEED"] = (seed, "of the random numbers")
    header["RHAT"] = (float(draws.worst_rhat[0]), "largest of all parameters; below 1.01 is good")
    least = np.min([float(value[0]) for value in draws.ess.values()])
    header["ESS"] = (float(least), "least effective number of independent draws")
    first = fits.PrimaryHDU()
    first.header["CREATOR"] = CREATOR
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing_alone(path) as temporary:
        fits.HDUList([first, table]).writeto(temporary, checksum=True)


def _fits_unit(name: str, flux: str) -> str | None:
    """The unit of a parameter in the words of the FITS standard; None for another."""
    try:
        return str(u.Unit(parameter_unit(name, flux), format="fits").to_string("fits")) or None
    except ValueError:
        return None
