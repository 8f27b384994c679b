"""The image of the sky among the extensions of a file."""

import re

import numpy as np
import pytest
from astropy.io import fits

from simulate.importers.errors import BrokenFileError
from simulate.importers.extensions import choose_image, sky_images
from simulate.importers.fits import read_fits, read_header
from tests.simulate.importers.make_files import refusal, wcs_header

BANDS = ("CFHT_U", "VIS", "NIR_Y", "HSC_G")


def hdu(value, name=None, version=None, n=8, header=None):
    pixels = np.full((n, n), value, np.float32)
    return fits.ImageHDU(pixels, header, name=name, ver=version)


def write(path, *hdus):
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def euclid(path, names):
    """A lens of Euclid's first release: bands of several surveys, each with PSF and noise."""
    hdus = []
    for number, band in enumerate(BANDS):
        image, psf, noise = (pattern.format(band) for pattern in names)
        rms = hdu(0.1, noise)
        rms.data[number, number] = 0  # no datum in one pixel, another in each band
        hdus += [hdu(number, image, header=wcs_header()), hdu(1, psf, n=5), rms]
    return write(path, *hdus)


@pytest.mark.parametrize(
    "names",
    [("{}", "{}_PSF", "{}_RMS"), ("{}_FLUX", "PSF", "RMS"), ("{}", "MERPSF_{}", "MERRMS_{}")],
)
def test_of_several_bands_the_one_of_the_survey_is_taken_and_the_others_are_named(names, tmp_path):
    path = euclid(tmp_path / "1.fits", names)
    pixels = read_fits(path)
    assert np.nanmax(pixels) == 1
    assert np.argwhere(np.isnan(pixels)).tolist() == [[1, 1]]
    note = read_header(path).note
    assert "(extension 4), one of the 12 images in the file; not taken: CFHT_U" in note
    assert "4 PSFs, 4 noise maps; choose with --hdu" in note


def test_the_user_chooses_by_name_number_or_brackets(tmp_path):
    path = euclid(tmp_path / "1.fits", ("{}", "{}_PSF", "{}_RMS"))
    for chosen in ("NIR_Y", "nir_y", "7"):
        assert np.nanmax(read_fits(path, chosen)) == 2
        assert np.nanmax(read_fits(path.with_name(f"1.fits[{chosen}]"))) == 2
        assert read_header(path, chosen).note == ""
    with pytest.raises(BrokenFileError, match="no image 'nope'; it has CFHT_U, CFHT_U_PSF"):
        read_fits(path, "nope")


def test_chips_of_one_name_are_chosen_by_their_version(tmp_path):
    path = write(
        tmp_path / "flc.fits",
        hdu(1, "SCI", 1),
        hdu(0, "DQ", 1),
        hdu(2, "SCI", 2),
        hdu(1, "DQ", 2),
    )
    assert (read_fits(path) == 1).all()
    assert "from SCI (extension 1)" in read_header(path).note
    assert "SCI,2" in read_header(path).note
    assert np.isnan(read_fits(path, "SCI,2")).all()


def test_hundreds_of_images_without_names_are_counted(tmp_path):
    path = write(tmp_path / "cosmos.fits", *(hdu(i) for i in range(30)))
    note = read_header(path).note
    assert "from extension 1, one of the 30 images" in note
    assert "extension 5 and 25 other images" in note
    with fits.open(path) as file:
        assert len(sky_images(file)) == 30


@pytest.mark.parametrize(
    ("names", "what"),
    [(("PSF",), "only 1 PSF (PSF)"), (("RMS", "RMS"), "only 2 noise maps"), (("DQ",), "1 mask")],
)
def test_a_file_without_an_image_of_the_sky_is_refused(names, what, tmp_path):
    path = write(tmp_path / "1.fits", *(hdu(1, name, header=wcs_header()) for name in names))
    with pytest.raises(BrokenFileError, match=re.escape(what)):
        read_fits(path)
    assert "no image of the sky; choose with --hdu" in refusal(tmp_path / "1.fits", tmp_path / "o")
    assert read_fits(path, names[0]).shape == (8, 8)


def test_a_header_may_tell_what_an_image_is(tmp_path):
    """As old files of Subaru (EXTTYPE) and those of ESO (HDUCLAS2) do."""
    kinds = ((None, None), ("EXTTYPE", "MASK"), ("HDUCLAS2", "ERROR"))
    hdus = [hdu(number) for number in range(3)]
    for (key, value), each in zip(kinds, hdus, strict=True):
        if key:
            each.header[key] = value
    with fits.open(write(tmp_path / "1.fits", *hdus[::-1])) as file:
        choice = choose_image(file)
        assert choice.index == 3
        assert {role for _, role in choice.planes} == {"mask", "noise map"}
        assert choice.note == ""
