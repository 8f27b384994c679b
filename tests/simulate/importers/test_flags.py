"""Bad pixels as masks, weights and noise maps give them."""

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.fits import read_fits
from tests.simulate.importers.make_files import image, wcs_header

SHAPE = (8, 8)


def values(kind, **at):
    plane = np.zeros(SHAPE, kind)
    for value, place in zip(at["of"], at["places"], strict=True):
        plane[place] = value
    return plane


def bad_of(tmp_path, *planes, primary=None, cube=False):
    """Places of the bad pixels of an image beside planes, and remarks."""
    pixels = image()[None].repeat(3, 0) if cube else image()
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(pixels, wcs_header(), name="SCI"), *planes]
    for key, value in (primary or {}).items():
        hdus[0].header[key] = value
    fits.HDUList(hdus).writeto(tmp_path / "1.fits")
    remarks = []
    bad = np.isnan(read_fits(tmp_path / "1.fits", None, remarks.append))
    return [tuple(map(int, place)) for place in np.argwhere(bad)], remarks


@pytest.mark.parametrize("kind", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("name", ["MASK", "DQ", "MSK", "BPM", "FLAG", "FLAGS", "BADPIX", "QUALITY"])
def test_any_value_but_zero_is_bad(name, kind, tmp_path):
    plane = values(kind, of=(1, 4), places=((1, 2), (3, 4)))
    assert bad_of(tmp_path, fits.ImageHDU(plane, name=name)) == ([(1, 2), (3, 4)], [])


@pytest.mark.parametrize(
    ("telescope", "name", "kind"),
    [("JWST", "DQ", "u4"), (None, "DQ", "u4"), ("EUCLID", "FLAG", "i4"), (None, "4-1-E.FLG", "i4")],
)
def test_flags_that_inform_are_not_bad(telescope, name, kind, tmp_path):
    """JWST's DO_NOT_USE and Euclid's INVALID are the lowest bit; JUMP_DET (4) was corrected."""
    plane = values(kind, of=(1, 4, 5), places=((1, 2), (3, 4), (5, 6)))
    primary = {"TELESCOP": telescope} if telescope else None
    found = bad_of(tmp_path, fits.ImageHDU(plane, name=name), primary=primary)
    assert found == ([(1, 2), (5, 6)], [])


@pytest.mark.parametrize(
    ("name", "none"),
    [
        ("WHT", (0, np.nan, -1)),
        ("IVAR", (0, np.nan, np.inf)),
        ("ERR", (0, np.nan, np.inf)),
        ("RMS", (0, 1e30, np.nan)),
        ("VARIANCE", (np.inf, np.nan, 0)),
    ],
)
def test_pixels_without_weight_or_noise_hold_no_data(name, none, tmp_path):
    places = ((1, 2), (3, 4), (5, 6))
    plane = values("f4", of=none, places=places)
    plane[plane == 0] = 2.0
    plane[[p[0] for p in places], [p[1] for p in places]] = none
    assert bad_of(tmp_path, fits.ImageHDU(plane, name=name)) == (list(places), [])


def test_a_plane_that_was_never_filled_is_named(tmp_path):
    empty = fits.ImageHDU(np.zeros(SHAPE), name="ERR")
    assert bad_of(tmp_path, empty) == (
        [],
        ["whose noise map ERR is not used: it has no value above 0"],
    )


@pytest.mark.parametrize(
    ("name", "n", "remark"),
    [("DQ", 4, "it has other pixels"), ("MASKBITS", 8, "its bits have many meanings")],
)
def test_a_mask_that_cannot_be_applied_is_named(name, n, remark, tmp_path):
    found, remarks = bad_of(tmp_path, fits.ImageHDU(np.ones((n, n), "i4"), name=name))
    assert found == []
    assert remarks == [f"whose mask {name} is not applied: {remark}"]


def test_variances_of_parts_of_the_noise_may_be_zero(tmp_path):
    plane = fits.ImageHDU(np.zeros(SHAPE), name="VAR_POISSON")
    assert bad_of(tmp_path, plane) == ([], [])


def test_masks_add_up_and_one_serves_all_images_of_a_cube(tmp_path):
    dq = fits.ImageHDU(values("i2", of=(1,), places=((1, 2),)), name="DQ")
    weight = np.ones(SHAPE)
    weight[3, 4] = 0
    hdus = (dq, fits.ImageHDU(weight, name="WHT"))
    assert bad_of(tmp_path, *hdus) == ([(1, 2), (3, 4)], [])
