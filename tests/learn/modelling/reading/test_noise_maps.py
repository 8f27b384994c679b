"""Noise maps, variances and weights are told apart by name, unit and values."""

import numpy as np
import pytest

from learn.modelling.reading.noise_maps import find_noise
from learn.modelling.reading.planes import Plane
from simulate.importers.errors import BrokenFileError
from tests.learn.modelling.make_lenses import SIGMA, N, image

NOISE = np.full((N, N), SIGMA)
MAPS = {"noise map": NOISE, "variance map": NOISE**2, "weight map": NOISE**-2}


def plane(values, name="noise.fits", unit=None):
    return Plane(values, name, name, unit, None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("noise_map.fits", "noise map"),
        ("VIS_RMS", "noise map"),
        ("ERR", "noise map"),
        ("variance.fits", "variance map"),
        ("lens1_var.fits", "variance map"),
        ("VARIANCE", "variance map"),
        ("ivar.fits", "weight map"),
        ("INVVAR", "weight map"),
        ("lens_drz_wht.fits", "weight map"),
        ("weight.fits", "weight map"),
    ],
)
def test_names_tell_the_kind(name, kind):
    noise, notes = find_noise(plane(MAPS[kind], name), image(), None)
    np.testing.assert_allclose(noise, SIGMA, rtol=1e-12)
    assert bool(notes) == (kind != "noise map")


@pytest.mark.parametrize("kind", MAPS)
def test_values_tell_the_kind_where_the_name_does_not(kind):
    noise, notes = find_noise(plane(MAPS[kind], "b.fits"), image(), None)
    np.testing.assert_allclose(noise, SIGMA, rtol=1e-12)
    if kind != "noise map":
        assert notes[0] == f"b.fits is taken for a {kind} by its values"


@pytest.mark.parametrize(
    ("unit", "own", "kind", "factor"),
    [
        ("nJy", "nJy", "noise map", 1),
        ("nJy", "nJy2", "variance map", 1),
        ("nJy", "nJy-2", "weight map", 1),
        ("uJy", "nJy", "noise map", 1e3),
        ("e-/s", "e-/s", "noise map", 1),
        ("ELECTRONS/S", "electron / s", "noise map", 1),
    ],
)
def test_units_tell_the_kind(unit, own, kind, factor):
    noise, _ = find_noise(plane(MAPS[kind] * factor, "b.fits", own), image(), unit)
    np.testing.assert_allclose(noise, SIGMA, rtol=1e-12)


def test_a_weight_map_may_bear_the_unit_of_the_image():
    """Its header is often a copy."""
    noise, _ = find_noise(plane(MAPS["weight map"], "wht.fits", "e-/s"), image(), "e-/s")
    np.testing.assert_allclose(noise, SIGMA, rtol=1e-12)


def test_units_that_the_standard_discourages_raise_no_warning(recwarn):
    unit = "1e-19 erg/s/cm2/Angstrom"
    noise, notes = find_noise(plane(NOISE, unit=unit), image(), unit)
    np.testing.assert_allclose(noise, NOISE)
    assert not notes
    assert not recwarn.list


def test_noise_in_another_quantity_is_refused_with_both_units():
    with pytest.raises(BrokenFileError, match=r"noise.fits is in 'electron', the image in"):
        find_noise(plane(NOISE, unit="electron"), image(), "electron/s")


def test_a_map_that_is_not_what_its_name_says_is_refused():
    with pytest.raises(BrokenFileError, match="is a noise map by its name or unit, and a weight"):
        find_noise(plane(MAPS["weight map"], "rms.fits"), image(), None)
    with pytest.raises(BrokenFileError, match="is a weight map by its name and a noise map by"):
        find_noise(plane(MAPS["weight map"] * 1e3, "wht.fits", "nJy"), image(), "uJy")


def test_an_exposure_map_is_no_weight():
    """As the WHT of drizzled HST images may be."""
    with pytest.raises(
        BrokenFileError, match=r"no inverse variance: the image scatters by .* times"
    ):
        find_noise(plane(np.full((N, N), 2e5), "WHT"), image(), None)


@pytest.mark.parametrize("factor", [1 / 4, 1.4, 3])
def test_noise_that_is_somewhat_wrong_is_taken(factor):
    """Published maps of SLACS are about 1.4 times too large; drizzled images scatter less."""
    noise, notes = find_noise(plane(NOISE * factor), image(), None)
    np.testing.assert_allclose(noise, SIGMA * factor)
    assert not notes


def test_noise_that_no_image_has_is_doubtful():
    _, notes = find_noise(plane(np.ones((N, N))), image(), None)
    assert "is doubtful" in notes[0]


@pytest.mark.parametrize("good", [1, 3])
def test_noise_without_data_in_most_pixels_is_that_of_the_others(good):
    values = np.full((N, N), 1e8)
    values[:: N // good] = SIGMA
    values[: 2 * good] = SIGMA
    noise, notes = find_noise(plane(values), image(), None)
    assert set(noise[np.isfinite(noise)]) == {SIGMA}
    assert not notes


@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_noise_of_another_image_is_refused(factor):
    with pytest.raises(BrokenFileError, match="is not the noise of this image: the image scatters"):
        find_noise(plane(NOISE * factor), image(), None)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, 1e8, 1e16, -np.inf])
def test_pixels_without_noise_are_masked(value):
    values = NOISE.copy()
    values[:22] = value  # more than half of the image
    noise, _ = find_noise(plane(values), image(), None)
    assert np.isinf(noise[:22]).all()
    np.testing.assert_array_equal(noise[22:], SIGMA)


def test_a_weight_of_zero_is_no_datum():
    values = MAPS["weight map"].copy()
    values[3, 4] = 0
    noise, _ = find_noise(plane(values, "wht.fits"), image(), None)
    assert np.argwhere(np.isinf(noise)).tolist() == [[3, 4]]


def test_other_shapes_are_refused_with_both():
    with pytest.raises(
        BrokenFileError, match=r"has 40 x 40 pixels and its noise \(noise.fits\) 40 x 20"
    ):
        find_noise(plane(NOISE[:, :20]), image(), None)
