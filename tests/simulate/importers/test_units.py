"""Surface brightnesses are told from fluxes a pixel."""

import pytest

from simulate.importers.units import is_surface_brightness

BRIGHTNESS = (
    "MJy/sr",
    "MJy sr-1",
    "MJY/SR",
    "MJy.sr^-1",
    "MJy sr**-1",
    "mJy/arcsec^2",
    "uJy arcsec-2",
    "Jy/beam",
    "JY/BEAM",
    "mJy beam-1",
    "e-/s/arcsec2",
    "e-/s/arcsec^2",
    "electrons/s/arcsec**2",
    "ELECTRONS/S/ARCSEC^2",
    "electron s^(-1) arcsec^(-2)",
    "e⁻/s/arcsec²",
    "e- s⁻¹ arcsec⁻²",
    "counts/s/arcmin2",
    "erg/s/cm^2/Angstrom/arcsec^2",
    "1e-17 erg/s/cm2/A/arcsec2",
    "W/m2/sr/um",
    "mag/arcsec2",
    "mag/sqarcsec",
    "mag per square arcsec",
    'e-/s/"^2',
    "nJy/deg2",
    "L_sun/pc2/sr",
    "K",
    "mK",
    "K (Tb)",
)
FLUX = (
    "e-/s",
    "2 e-/s",
    "E-/S",
    "e/s",
    "ELECTRONS",
    "ELECTRONS/S",
    "electron/s",
    "el/s",
    "counts",
    "COUNTS/S",
    "counts/s",
    "count",
    "cps",
    "cts/s",
    "ADU",
    "adu",
    "DN",
    "DN/s",
    "nJy",
    "Jy",
    "MJy",
    "uJy/pix",
    "Jy/pixel",
    "nanomaggy",
    "nanomaggies",
    "1e-9 maggies",
    "10^-20 erg/s/cm2/A",
    "10**(-20)*erg/s/cm**2/Angstrom",
    "erg/s/cm2/Hz",
    "photons/s",
    "W/m^2/Hz",
    "e-/s/pix^2",
)


@pytest.mark.parametrize("unit", BRIGHTNESS)
def test_flux_per_solid_angle_is_a_surface_brightness(unit):
    assert is_surface_brightness(unit) is True


@pytest.mark.parametrize("unit", FLUX)
def test_flux_of_a_pixel_is_none(unit):
    assert is_surface_brightness(unit) is False


@pytest.mark.parametrize(
    "unit", [None, "", "unknown", "mag", "arcsec", "flugs", "m", "s", "elves", "\x1b[2J", "("]
)
def test_what_is_not_known_is_not_guessed(unit):
    assert is_surface_brightness(unit) is None
