"""Where an image is, and how what it shows is turned."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from learn.inference.sky_columns import angle_columns, find_skies, place_columns
from learn.inference.tables import Predicted, write_table

SCALE = 0.05
#: Degrees by which the camera is turned, from North towards East.
TURN = 30.0


def sky(shape: tuple[int, int]) -> WCS:
    """North is TURN degrees from +y towards -x, East to the left of it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [150.0, 2.0], [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    cos, sin = np.cos(np.radians(TURN)), np.sin(np.radians(TURN))
    wcs.wcs.cd = SCALE / 3600 * np.array([[-cos, -sin], [-sin, cos]])
    return wcs


def cutout(wcs: WCS | None, corner: tuple[float, float] = (3.0, 5.0), step: float = 1.0) -> Any:
    frame = SimpleNamespace(rows=slice(0, 8), columns=slice(1, 7), corner=corner, step=step)
    about = {"path": Path("a.fits"), "index": 0, "bad": 0, "pixel_scale": SCALE}
    return SimpleNamespace(wcs=wcs, frame=frame, **about)


@pytest.mark.parametrize("step", [1.0, 2.5])
def test_the_place_is_that_of_the_middle_of_what_is_shown(step: float) -> None:
    wcs = sky((40, 50))
    columns = place_columns(find_skies([cutout(wcs, step=step), cutout(None)]))
    middle = wcs.pixel_to_world(5 + 3 * step - 0.5, 3 + 4 * step - 0.5)
    found = SkyCoord(columns["ra"][0], columns["dec"][0], unit="deg")
    assert found.separation(middle).arcsec < 1e-6
    assert np.isnan([columns["ra"][1], columns["dec"][1]]).all()


def test_angles_are_given_on_the_image_and_east_of_north() -> None:
    phi = np.radians([20.0, 20.0, np.nan])
    columns = {"e1": 0.2 * np.cos(2 * phi), "e2": 0.2 * np.sin(2 * phi)}
    columns |= {f"source_{name}": values for name, values in columns.items()}
    columns |= {f"{name}_error": np.full(3, 0.02) for name in columns}
    skies = find_skies([cutout(sky((40, 50))), cutout(None), cutout(sky((40, 50)))])
    found = angle_columns(columns, skies)
    assert set(found) == {
        "lens_phi", "lens_phi_error", "lens_pa", "source_phi", "source_phi_error",
    }  # fmt: skip
    np.testing.assert_allclose(found["lens_phi"], [20.0, 20.0, np.nan], atol=1e-9)
    error = np.degrees(0.5 * 0.02 / 0.2)
    np.testing.assert_allclose(found["lens_phi_error"][:2], error, rtol=1e-9)
    # North lies TURN from +y, so that an axis at phi is 90 - phi ... from it, counted to the East.
    expected = sky((40, 50))
    one, two = (
        expected.pixel_to_world(10 + s * np.cos(phi[0]), 10 + s * np.sin(phi[0])) for s in (0, 2)
    )
    assert found["lens_pa"][0] == pytest.approx(one.position_angle(two).deg % 180, abs=1e-3)
    assert np.isnan(found["lens_pa"][1:]).all()
    assert angle_columns({"theta_E": np.ones(3)}, skies) == {}


@pytest.mark.parametrize("ending", [".fits", ".ecsv", ".csv"])
def test_tables_hold_places_angles_and_units(tmp_path: Path, ending: str) -> None:
    def columns(values: torch.Tensor) -> dict[str, np.ndarray]:
        names = ("theta_E", "e1", "e2", "e1_error", "e2_error", "source_flux", "log10_axion_mass")
        return {name: values[:, 0].numpy() for name in names}

    units = {"theta_E": "arcsec", "source_flux": "e-/s", "log10_axion_mass": "log10 eV"}
    task: Any = SimpleNamespace(table=columns, units=units)
    images = [cutout(sky((40, 50))), cutout(None)]
    values = torch.tensor([[0.1], [float("nan")]])
    out = tmp_path / f"t{ending}"
    predicted = Predicted(images, values, values.isfinite()[:, 0].numpy(), None)
    write_table(out, [predicted], task, overwrite=False)
    table = Table.read(out)
    assert table.colnames[:4] == ["file", "index", "ra", "dec"]
    assert float(table["ra"][0]) == pytest.approx(150.0, abs=1e-2)
    assert float(table["lens_phi"][0]) == pytest.approx(22.5)
    for name in ("ra", "theta_E", "lens_pa"):
        assert np.isnan(np.ma.filled(np.ma.masked_invalid(table[name]), np.nan)[1]), name
    if ending != ".csv":
        found = {name: str(table[name].unit) for name in ("ra", "lens_pa", "theta_E")}
        assert found == {"ra": "deg", "lens_pa": "deg", "theta_E": "arcsec"}
    if ending == ".ecsv":
        assert str(table["source_flux"].unit) == "electron / s"
        assert str(table["log10_axion_mass"].unit) == "dex(eV)"
    if ending == ".fits":
        with fits.open(out) as file:
            units = {column.name: column.unit for column in file[1].columns}
        assert units["source_flux"] == "electron/s"
        assert units["log10_axion_mass"] is None, "FITS has none for a logarithm"
