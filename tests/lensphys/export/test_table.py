"""Results as a table of astropy."""

import numpy as np
import pytest
from astropy import units

from lensphys import fit
from lensphys.export.table import find_unit, to_table
from tests.lensphys.fitting.mocks import KIND, draw, image_of


@pytest.fixture(scope="module")
def result():
    truth = draw(3, seed=4)
    return fit(image_of(truth), 0.1, **KIND, start=truth, max_steps=1, fixed={"gamma2": 0.0})


def test_a_row_holds_every_parameter_with_its_error_and_unit(result):
    table = to_table(result)
    assert len(table) == 3
    for name in result.names:
        np.testing.assert_allclose(table[name], result.params[name])
        np.testing.assert_allclose(table[f"{name}_error"], result.errors[name])
        assert table[name].unit == table[f"{name}_error"].unit
    assert table["theta_E"].unit == table["source_center_x"].unit == units.arcsec
    assert table["e1"].unit is None
    assert (table["gamma2_error"] == 0).all()
    np.testing.assert_allclose(table["chi2_dof"], result.chi2_dof)
    np.testing.assert_allclose(table["evidence"], result.evidence)
    assert table["converged"].dtype == bool
    assert table.colnames[-4:] == ["chi2_dof", "effective", "evidence", "converged"]


def test_a_table_is_written_and_read_again(result, tmp_path):
    table = to_table(result)
    table.write(tmp_path / "fits.ecsv")
    again = type(table).read(tmp_path / "fits.ecsv")
    assert again["theta_E"].unit == units.arcsec
    np.testing.assert_array_equal(again["theta_E"], table["theta_E"])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("theta_E", "arcsec"),
        ("gamma", ""),
        ("gamma1", ""),
        ("a3_cos", "arcsec"),
        ("source_R_sersic", "arcsec"),
        ("source_amplitude", ""),
        ("source_2_R_sersic", "arcsec"),
        ("lens_light_2_center_x", "arcsec"),
        ("source_beta", "arcsec"),
        ("lens_light_e1", ""),
        ("lens_light_center_y", "arcsec"),
    ],
)
def test_units_are_those_of_the_profiles(name, unit):
    assert find_unit(name) == unit
