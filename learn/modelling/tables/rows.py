"""The row of a lens in the table: every parameter with its error and unit, and what follows."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from astropy.cosmology import Planck18

from learn.modelling.lens_model import LensModel
from learn.modelling.maps.maps import MASS_UNITS
from learn.modelling.tables.axes import measure_axis
from learn.modelling.tables.columns import parameter_unit
from learn.modelling.tables.sky import Sky, find_sky
from lensphys.cosmology import mass_of_theta_E
from lensphys.fitting.result import FitResult

Value = float | int | bool | str | None

#: Parameters of an ellipticity, which have a prefix apart from those of the mass.
_ELLIPTICITY = re.compile(r"(?:(.+)_)?e1")


@dataclasses.dataclass(frozen=True)
class Row:
    """All that the table and the page show of a lens.

    Attributes:
        name: of the lens.
        values: by column; None where a value is not known, or infinite.
        units: of those columns that have one, as FITS writes it.
        flags: warnings, in words.
        notes: remarks on the files of the lens.
        reason: why there is no model; empty where there is one.
        origin: that which the model was made from, for the command.
    """

    name: str
    values: dict[str, Value] = dataclasses.field(default_factory=dict)
    units: dict[str, str] = dataclasses.field(default_factory=dict)
    flags: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    reason: str = ""
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)


class _Cells:
    """Values and units of a row while it is filled."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.units: dict[str, str] = {}

    def add(self, name: str, value: Value, unit: str = "", error: float | None = None) -> None:
        """Add a column, and that of its error."""
        cells = {name: value} if error is None else {name: value, f"{name}_error": error}
        for column, cell in cells.items():
            known = not isinstance(cell, float) or math.isfinite(cell)
            self.values[column] = cell if known else None
            if unit:
                self.units[column] = unit


def make_row(model: LensModel, origin: Mapping[str, Any] | None = None) -> Row:
    """Make the row of a model.

    Beside the parameters it holds axis ratios ``q`` of mass and light and their angles: ``phi``
    from +x towards +y on the image, ``pa`` East of North on the sky, both in degrees. The angle of
    the shear is the direction in which it stretches images. With both redshifts it holds the mass
    inside the Einstein radius (Planck 2018 cosmology).

    Args:
        model: of one lens.
        origin: kept in the row.
    """
    result, data = model.result, model.data
    ny, nx = data.image.shape
    sky = find_sky(data.wcs, (ny, nx), data.pixel_scale)
    ra, dec = (None, None) if sky is None else sky.place()
    cells = _Cells()
    cells.add("ra", ra if data.ra is None else data.ra, "deg")
    cells.add("dec", dec if data.dec is None else data.dec, "deg")
    cells.add("converged", bool(result.converged[0]))
    for name in ("chi2_dof", "effective", "evidence"):
        cells.add(name, float(getattr(result, name)[0]))
    cells.add("seconds", float(model.seconds), "s")
    cells.add("pixel_scale", data.pixel_scale, "arcsec")
    cells.add("flux_unit", data.unit)
    cells.add("z_lens", data.z_lens)
    cells.add("z_source", data.z_source)
    for name in result.names:
        value, error = float(result.params[name][0]), float(result.errors[name][0])
        cells.add(name, value, parameter_unit(name, data.unit), error)
    for found in filter(None, map(_ELLIPTICITY.fullmatch, result.names)):
        body, start = found[1] or "mass", found[0].removesuffix("e1")
        _add_axis(cells, result, f"{start}e", body, f"{start}center", sky)
    _add_axis(cells, result, "gamma", "shear", "center", sky)
    parts = result.parts()
    cells.add("lensed_flux", float(parts["source"].sum()), data.unit)
    cells.add("lens_light_flux", float(parts["lens_light"].sum()), data.unit)
    cells.add("sky", float(parts["sky"].mean()), data.unit)
    if data.z_lens is not None and data.z_source is not None:
        _add_mass(cells, result, data.z_lens, data.z_source)
    if model.maps is not None:
        _add_search(cells, model)
    return Row(
        name=data.name,
        values=cells.values,
        units=cells.units,
        flags=list(model.flags),
        notes=list(data.notes),
        origin=dict(origin or {}),
    )


def _add_axis(
    cells: _Cells, result: FitResult, pair: str, body: str, center: str, sky: Sky | None
) -> None:
    """Add modulus or axis ratio, and angles, of a pair of fitted components."""
    names = [f"{pair}1", f"{pair}2"]
    if not result.params.keys() >= set(names):
        return
    places = [result.names.index(name) for name in names]
    covariance = result.covariance[0].double().cpu().numpy()[places][:, places]
    first, second = (float(result.params[name][0]) for name in names)
    axis = measure_axis(first, second, covariance)
    if body == "shear":
        cells.add("shear", axis.modulus, error=axis.modulus_error)
    else:
        cells.add(f"{body}_q", axis.ratio, error=axis.ratio_error)
    cells.add(f"{body}_phi", axis.phi, "deg", axis.phi_error)
    if sky is not None and not body.startswith("source"):  # a source has no place on the sky
        x, y = (
            float(result.params[f"{center}_{name}"][0])
            if f"{center}_{name}" in result.params
            else 0.0
            for name in "xy"
        )
        cells.add(f"{body}_pa", sky.position_angle(axis.phi, x, y), "deg", axis.phi_error)


def _add_mass(cells: _Cells, result: FitResult, z_lens: float, z_source: float) -> None:
    """Add the mass inside the Einstein radius."""
    theta_E, error = (float(each["theta_E"][0]) for each in (result.params, result.errors))
    mass = float(mass_of_theta_E(theta_E, z_lens, z_source, Planck18))
    cells.add("einstein_mass", mass, "solMass", 2 * mass * error / theta_E)


def _add_search(cells: _Cells, model: LensModel) -> None:
    """Add the place where one more mass is the most significant, and the least mass seen at all."""
    found, seen = model.maps, model.result.problem.weight[0] > 0
    assert found is not None
    snr = torch.where(seen & found.snr[0].isfinite(), found.snr[0], -torch.inf)
    if not bool(snr.isfinite().any()):
        return
    row, column = divmod(int(snr.argmax()), snr.shape[1])
    unit = MASS_UNITS[found.unit]
    cells.add("search_snr", float(snr[row, column]))
    cells.add("search_x", float(found.x[row, column]), "arcsec")
    cells.add("search_y", float(found.y[row, column]), "arcsec")
    mass, error = (float(each[0, row, column]) for each in (found.mass, found.error))
    cells.add("search_mass", mass, unit, error)
    least = torch.where(seen & found.least_mass[0].isfinite(), found.least_mass[0], torch.inf)
    cells.add("least_mass", float(least.min()), unit)


def with_error(value: Value, error: Value) -> str:
    """A number with its error, both to two digits of the error; a lonely one to four digits."""
    if value is None:
        return "\u2013"
    number = float(value)
    if error is None:
        return f"{number:.4g} \u00b1 ?"
    spread = float(error)
    if not spread > 0 or not spread < 1e6 * abs(number):
        return f"{number:.4g}"
    digits = 1 - math.floor(math.log10(spread))
    if abs(number) >= 1e6:
        power = math.floor(math.log10(abs(number)))
        places = max(0, digits + power)
        shown = f"{number / 10**power:.{places}f} \u00b1 {spread / 10**power:.{places}f}"
        return f"({shown}) \u00d7 10^{power}"
    places = max(0, digits)
    return f"{number:.{places}f} \u00b1 {spread:.{places}f}"
