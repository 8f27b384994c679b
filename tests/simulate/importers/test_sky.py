"""Coordinates and pixel scales of headers as telescopes write them."""

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.sky import find_wcs, pixel_widths
from tests.simulate.importers.make_files import refusal, save_fits, wcs_header

SCALE = 0.05 / 3600
LINEAR = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.0,
    "CRVAL2": 2.0,
    "CRPIX1": 4.5,
    "CRPIX2": 4.5,
    "CD1_1": -SCALE,
    "CD2_2": SCALE,
}


def header(values=None, *records):
    made = fits.Header()
    made.update(LINEAR if values is None else values)
    for card in records:
        made.append(fits.Card.fromstring(card))
    return made


LOOKUP = (
    "CPDIS1  = 'LOOKUP'",
    "CPDIS2  = 'LOOKUP'",
    "DP1     = 'EXTVER: 1'",
    "DP1     = 'NAXES: 2'",
    "DP1     = 'AXIS.1: 1'",
    "DP1     = 'AXIS.2: 2'",
    "DP2     = 'EXTVER: 2'",
    "DP2     = 'NAXES: 2'",
    "D2IMDIS1= 'LOOKUP'",
    "D2IM1   = 'EXTVER: 1'",
    "D2IMERR1= 0.04",
    "D2IMEXT = 'jref$02c1450oj_d2i.fits'",
    "AXISCORR= 1",
)


def test_tables_of_distortion_do_not_hide_the_pixel_scale():
    found = header(None, *LOOKUP)
    before = found.copy()
    assert pixel_widths(find_wcs(found)) == pytest.approx((0.05, 0.05))
    assert found == before


def test_notes_of_astropy_on_a_header_stay_out_of_the_output(capsys):
    without_suffix = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": 1e-6}
    wcs = find_wcs(header(LINEAR | without_suffix))
    assert pixel_widths(wcs) == pytest.approx((0.05, 0.05))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("letter", ["A", "O", "Z"])
def test_alternate_coordinates_serve_where_there_are_no_others(letter):
    alternate = {f"{key}{letter}": value for key, value in LINEAR.items()}
    wcs = find_wcs(header(alternate))
    assert pixel_widths(wcs) == pytest.approx((0.05, 0.05))
    written = wcs.to_header()
    assert written["CTYPE1"] == "RA---TAN"
    assert np.allclose(find_wcs(written).pixel_to_world_values(3.5, 3.5), (150.0, 2.0))


def test_the_first_coordinates_come_before_alternate_ones():
    alternate = {f"{key}A": value for key, value in LINEAR.items()} | {"CD1_1A": 1.0, "CD2_2A": 1.0}
    assert pixel_widths(find_wcs(header(LINEAR | alternate))) == pytest.approx((0.05, 0.05))


@pytest.mark.parametrize(
    "change",
    [
        {"CD1_1": 0.0, "CD2_2": 0.0},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"},
        {"CTYPE1": "RA---TAN", "CTYPE2": "RA---TAN"},
        {"CUNIT1": "flugs"},
        {"CD1_1": "text"},
    ],
)
def test_coordinates_that_cannot_be_used_leave_room_for_the_option(change, tmp_path, importing):
    assert find_wcs(header(LINEAR | change)) is None
    save_fits(tmp_path / "cut" / "1.fits", None, header(LINEAR | change))
    assert "give --pixel-scale" in refusal(tmp_path / "cut", tmp_path / "o", pixel_scale=None)
    assert importing(tmp_path / "cut", pixel_scale=0.07).attrs["pixel_scale"] == 0.07


def test_a_header_without_coordinates_has_none():
    assert find_wcs(fits.Header()) is None
    assert pixel_widths(None) is None
    assert pixel_widths(find_wcs(wcs_header(0.2))) == pytest.approx((0.2, 0.2))
