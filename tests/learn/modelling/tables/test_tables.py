"""Tables of lenses: the same numbers in CSV and FITS, with units, whatever each lens has."""

import csv
import math
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from learn.modelling.tables.rows import Row, make_row
from learn.modelling.tables.tables import COLUMNS, CSV, FITS, write_tables
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled

BROKEN = Row("bröken", {"ra": 12.5, "dec": None}, reason="image.fits: no WCS, no --pixel-scale")


def read_csv(folder, name=CSV):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_both_tables_hold_the_numbers_of_the_models(tmp_path):
    row = make_row(modelled(("neighbour", "poor fit")))
    write_tables([row, BROKEN], tmp_path)
    first, second = read_csv(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(tmp_path / FITS)
    assert list(first) == table.colnames
    assert first["name"] == table["name"][0] == "J1234+5678"
    assert first["flags"] == table["flags"][0] == "neighbour; poor fit"
    for name, value in row.values.items():
        if isinstance(value, float):
            assert float(first[name]) == table[name][0] == value
    assert table["converged"][0] == float(first["converged"]) == 1
    assert (second["name"], table["name"][1]) == ("bröken", r"br\xf6ken")
    assert second["reason"] == table["reason"][1] == BROKEN.reason
    assert (second["ra"], table["ra"][1]) == ("12.5", 12.5)
    assert second["theta_E"] == ""
    assert np.ma.is_masked(table["theta_E"][1]) or math.isnan(table["theta_E"][1])


def test_columns_have_units_and_meanings(tmp_path):
    write_tables([make_row(modelled())], tmp_path)
    table = Table.read(tmp_path / FITS)
    assert str(table["theta_E"].unit) == str(table["theta_E_error"].unit) == "arcsec"
    assert str(table["mass_pa"].unit) == str(table["ra"].unit) == "deg"
    assert str(table["einstein_mass"].unit) == "solMass"
    assert str(table["source_amplitude"].unit) == "adu / arcsec2"
    assert table["e1"].unit is None
    columns = {line["column"]: line for line in read_csv(tmp_path, COLUMNS)}
    assert list(columns) == table.colnames
    assert columns["theta_E"]["unit"] == "arcsec"
    assert all(line["meaning"] for line in columns.values())
    header = fits.getheader(tmp_path / FITS, 1)
    number = 1 + table.colnames.index("theta_E")
    assert header[f"TCOMM{number}"] == columns["theta_E"]["meaning"]


def test_units_that_fits_does_not_know_are_in_words_and_no_reader_warns(tmp_path):
    write_tables([make_row(modelled(unit="e-/s"))], tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = Table.read(tmp_path / FITS)
    assert table["source_amplitude"].unit is None
    header = fits.getheader(tmp_path / FITS, 1)
    number = 1 + table.colnames.index("source_amplitude")
    assert header[f"TCOMM{number}"].endswith(", in e-/s / arcsec2")
    columns = {line["column"]: line for line in read_csv(tmp_path, COLUMNS)}
    assert columns["source_amplitude"]["unit"] == "e-/s / arcsec2"


def test_columns_are_those_of_all_lenses_together(tmp_path):
    rows = [
        Row("a", {"theta_E": 1.0, "lensed_flux": 2.0}, {"theta_E": "arcsec", "lensed_flux": "adu"}),
        Row("b", {"gamma": 2.1, "lensed_flux": 3.0}, {"lensed_flux": "nJy"}),
    ]
    write_tables(rows, tmp_path)
    table = Table.read(tmp_path / FITS)
    assert table.colnames[-3:] == ["theta_E", "lensed_flux", "gamma"]
    assert str(table["theta_E"].unit) == "arcsec"
    assert table["lensed_flux"].unit is None, "the lenses differ in their unit"
    assert [line["gamma"] for line in read_csv(tmp_path)] == ["", "2.1"]


def test_a_table_without_any_model_has_the_reasons(tmp_path):
    write_tables([BROKEN], tmp_path)
    assert read_csv(tmp_path)[0]["reason"] == BROKEN.reason
    assert Table.read(tmp_path / FITS)["reason"][0] == BROKEN.reason


def test_tables_are_made_anew_and_those_of_others_are_kept(tmp_path):
    write_tables([BROKEN], tmp_path)
    write_tables([BROKEN, Row("b")], tmp_path)
    assert len(read_csv(tmp_path)) == 2
    for name in (CSV, FITS, COLUMNS):
        (tmp_path / name).write_text("ra,dec\n1,2\n")
        with pytest.raises(InputError, match=f"{name} is there already and is no table of lens"):
            write_tables([BROKEN], tmp_path)
        assert (tmp_path / name).read_text() == "ra,dec\n1,2\n"
        write_tables([BROKEN], tmp_path, overwrite=True)
    assert not list(tmp_path.glob(".*"))


def test_names_stay_on_one_line(tmp_path):
    write_tables([Row('a\n"b",\x1b[31m')], tmp_path)
    assert read_csv(tmp_path)[0]["name"] == r'a\n"b",\x1b[31m'
    assert len((tmp_path / CSV).read_text().splitlines()) == 2
