"""Results of fits as a table with units."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from lensphys.mass import MASSES, find_mass
from lensphys.parameters import parameter_fields

if TYPE_CHECKING:
    from astropy.table import Table

    from lensphys.fitting.result import FitResult

#: Prefix of the names of the parameters of a light, perhaps one of several.
_PREFIX = re.compile(r"^(lens_light|source)_(\d+_)?")
#: Units of parameters of a fit that no single profile declares.
_OTHERS = {"beta": "arcsec", "size": "arcsec"}


def find_unit(name: str) -> str:
    """Return the unit of a fitted parameter, ``""`` if it has none or that of the images.

    Fluxes are in the unit of the images, which nobody knows.
    """
    name = _PREFIX.sub("", name)
    if name[0] == "a" and name.endswith(("_cos", "_sin")):
        return "arcsec"
    return _units().get(name, "")


@functools.cache
def _units() -> dict[str, str]:
    from lensphys.light.sersic import Sersic

    classes = [find_mass(name) for name in MASSES]
    classes = [kind for kind in classes if hasattr(kind, "parameter_names")]
    units = {f.name: f.metadata["unit"] for kind in classes for f in parameter_fields(kind)}
    units |= {f.name: f.metadata["unit"] for f in parameter_fields(Sersic)}
    return {name: unit if unit == "arcsec" else "" for name, unit in units.items()} | _OTHERS


def to_table(result: FitResult) -> Table:
    """Convert results into an ``astropy.table.Table`` without the maps, one row a lens.

    Columns are every parameter and its ``<name>_error``, with units, ``chi2_dof``, ``effective``,
    ``evidence`` and ``converged``.
    """
    from astropy import units
    from astropy.table import Table

    table = Table()
    for name in result.names:
        unit = units.Unit(find_unit(name)) if find_unit(name) else None
        for column, values in ((name, result.params), (f"{name}_error", result.errors)):
            table[column] = values[name].detach().double().cpu().numpy()
            table[column].unit = unit
    for name in ("chi2_dof", "effective", "evidence", "converged"):
        table[name] = getattr(result, name).detach().cpu().numpy()
    return table
