"""Planes of FITS files: found by role or by name, with pixel scale and unit of their headers."""

import numpy as np
import pytest
from astropy.io import fits

from learn.modelling.reading.planes import (
    find_header_redshifts,
    find_header_scale,
    read_inside,
    read_mask,
    read_plane,
)
from simulate.importers.errors import BrokenFileError
from simulate.importers.roles import NOISE, PSF
from tests.learn.modelling.make_lenses import SIGMA, N, euclid, header, image, kernel, write


def test_the_only_plane_of_a_file_is_taken_whatever_its_name(tmp_path):
    plane = read_plane(write(tmp_path / "b.fits", kernel(), header(unit="nJy")), PSF)
    np.testing.assert_allclose(plane.values, kernel(), rtol=1e-6)
    assert (plane.label, plane.name, plane.unit) == ("b.fits", "b.fits", "nJy")
    assert plane.pixel_scale == pytest.approx(0.05)
    assert plane.values.dtype == np.float64
    assert not plane.note


def test_of_several_planes_the_one_of_the_role_is_taken_and_the_others_are_named(tmp_path):
    path = euclid(tmp_path / "1.fits")
    plane = read_plane(path, NOISE)
    assert plane.label == "1.fits[DES_G_RMS]"
    assert plane.note.startswith("from DES_G_RMS of 1.fits; not taken: DES_G_FLUX, DES_G_PSF")
    named = read_plane(path.with_name("1.fits[NIR_Y_PSF]"), NOISE)
    assert (named.label, named.note) == ("1.fits[NIR_Y_PSF]", "")


def test_planes_belong_to_the_band_of_the_image(tmp_path):
    path = euclid(tmp_path / "1.fits")
    assert [plane.name for plane in read_inside(path, None, NOISE)] == ["VIS_RMS"]
    assert [plane.name for plane in read_inside(path, "NIR_Y_FLUX", PSF)] == ["NIR_Y_PSF"]


@pytest.mark.parametrize("keyword", ["PIXSCALE", "PIXELSCL", "SECPIX1", "D001SCAL"])
def test_keywords_give_the_pixel_scale(tmp_path, keyword):
    head = fits.Header({keyword: 0.04})
    path = write(tmp_path / "1.fits", image(), head)
    assert find_header_scale(path, None) == 0.04
    assert read_plane(path).pixel_scale == 0.04
    assert find_header_scale(write(tmp_path / "2.fits", image()), None) is None
    fits.HDUList([fits.PrimaryHDU(header=head), fits.ImageHDU(image())]).writeto(
        tmp_path / "3.fits"
    )
    assert find_header_scale(tmp_path / "3.fits", None) == 0.04


@pytest.mark.parametrize("value", ["0.04 ", -0.04, True, "wide", 0])
def test_a_keyword_that_is_no_width_is_none(tmp_path, value):
    path = write(tmp_path / "1.fits", image(), fits.Header({"PIXSCALE": value}))
    assert find_header_scale(path, None) == (0.04 if value == "0.04 " else None)


def test_any_value_but_zero_is_bad_in_a_mask(tmp_path):
    values = np.zeros((N, N))
    values[2, 3] = 1
    bad, label = read_mask(write(tmp_path / "m.fits", values))
    assert (np.argwhere(bad).tolist(), label) == ([[2, 3]], "m.fits")


def test_bits_that_inform_are_not_bad(tmp_path):
    """As on cosmic rays that JWST's pipeline has corrected."""
    flags = np.array([[0, 1], [4, 5]], np.uint32)
    file = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(flags, name="DQ")])
    file.writeto(tmp_path / "m.fits")
    bad, _ = read_mask(tmp_path / "m.fits")
    assert bad.tolist() == [[False, True], [False, True]]


def test_damaged_files_are_named(tmp_path):
    path = write(tmp_path / "noise.fits", np.full((N, N), SIGMA))
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(BrokenFileError, match=r"noise.fits.*truncated"):
        read_plane(path, NOISE)
    (tmp_path / "text.fits").write_text("words")
    with pytest.raises(BrokenFileError, match=r"text.fits: it is not a FITS file"):
        read_plane(tmp_path / "text.fits", NOISE)
    with pytest.raises(BrokenFileError, match=r"none.fits.* no such file"):
        read_mask(tmp_path / "none.fits")


@pytest.mark.parametrize(
    ("cards", "found"),
    [
        ({"Z_LENS": 0.2, "Z_SOURCE": 0.6}, (0.2, 0.6)),
        ({"ZLENS": "0.2", "ZSRC": 2}, (0.2, 2.0)),
        ({"Z_LENS": 0.2}, (0.2, None)),
        ({"Z_LENS": True, "Z_SOURCE": -99.0}, (None, None)),
        ({"Z_LENS": 0.6, "Z_SOURCE": 0.2}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_keywords_give_the_redshifts(cards, found, tmp_path):
    header = fits.Header(cards)
    fits.writeto(tmp_path / "lens.fits", np.ones((4, 4)), header)
    assert find_header_redshifts(tmp_path / "lens.fits", None) == found
