"""Directions on the sky follow the WCS: turned, mirrored or in other coordinates."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from learn.modelling.tables.sky import find_sky
from tests.learn.modelling.lenses import SCALE, SHAPE, make_wcs


@pytest.mark.parametrize("phi", [0.0, 30.0, 90.0, 135.0])
def test_north_up_and_east_left_measures_from_y(phi):
    sky = find_sky(make_wcs(), SHAPE, SCALE)
    assert sky.position_angle(phi) == pytest.approx((phi - 90) % 180, abs=1e-4)


def test_a_mirrored_image_turns_the_other_way():
    sky = find_sky(make_wcs(mirrored=True), SHAPE, SCALE)
    assert sky.position_angle(30.0) == pytest.approx(60.0, abs=1e-4)


def test_a_turned_image_turns_its_angles():
    straight, turned = (find_sky(make_wcs(angle=angle), SHAPE, SCALE) for angle in (0.0, 25.0))
    assert turned.position_angle(70.0 + 25.0) == pytest.approx(straight.position_angle(70.0))
    x, y = turned.direction(0.0)
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(90 + 25, abs=1e-4)


def test_the_angle_is_towards_the_pole_of_the_equator_in_galactic_images_too():
    wcs = make_wcs(ctype=("GLON-TAN", "GLAT-TAN"), crval=(120.0, 40.0))
    sky = find_sky(wcs, SHAPE, SCALE)
    middle = wcs.pixel_to_world(23.5, 19.5).icrs
    north = SkyCoord(middle.ra, middle.dec + 0.05 * u.arcsec)
    column, row = wcs.world_to_pixel(north)
    phi = np.degrees(np.arctan2(row - 19.5, column - 23.5))
    assert abs(phi - 90.0) > 5.0, "the two norths differ here"
    assert sky.position_angle(phi + 20.0) == pytest.approx(20.0, abs=1e-3)


def test_places_are_counted_from_the_middle_of_the_image():
    sky = find_sky(make_wcs(), SHAPE, SCALE)
    assert sky.place() == pytest.approx((150.0, 60.0), abs=1e-9)
    ra, dec = sky.place(-1.0, 0.5)  # an arcsec to the East
    assert (ra - 150.0) * 3600 * np.cos(np.deg2rad(60.0)) == pytest.approx(1.0, rel=1e-4)
    assert (dec - 60.0) * 3600 == pytest.approx(0.5, rel=1e-4)


def test_an_image_that_lies_nowhere_has_no_sky():
    linear = WCS(naxis=2)
    linear.wcs.ctype = "X", "Y"
    beyond = make_wcs(ctype=("RA---SIN", "DEC--SIN"))
    beyond.wcs.crpix = 1e8, 1e8
    for wcs in (None, linear, beyond):
        assert find_sky(wcs, SHAPE, SCALE) is None
