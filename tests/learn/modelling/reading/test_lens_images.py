"""Data of lenses: taken as instruments write them, or refused in one line."""

import dataclasses

import numpy as np
import pytest
from astropy.io import fits

from learn.modelling.reading.lens_files import Given, find_lenses
from learn.modelling.reading.lens_images import read_lens
from simulate.importers.errors import BrokenFileError
from tests.learn.modelling.make_lenses import (
    SCALE,
    SIGMA,
    N,
    euclid,
    header,
    image,
    kernel,
    settings,
    slacs,
    write,
)

RMS = np.full((N, N), SIGMA)


@pytest.fixture
def read():
    """Reads the only lens of a file or folder; options by name, those of files as paths."""

    def run(path, noise=None, psf=None, mask=None, **changes):
        (lens,) = find_lenses([path], Given(noise, psf, mask))
        return read_lens(lens, settings(**changes))

    return run


@pytest.fixture
def folder(tmp_path):
    """A lens as those of SLACS, with a WCS."""
    return slacs(tmp_path / "J1", head=header(unit="ELECTRONS/S"))


def refusal(read, *arguments, **options):
    with pytest.raises(BrokenFileError) as error:
        read(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_of_slacs_is_read_as_it_is(read, folder):
    data = read(folder)
    np.testing.assert_allclose(data.image, image(), rtol=1e-5)
    np.testing.assert_allclose(data.noise, SIGMA, rtol=1e-6)
    np.testing.assert_allclose(data.psf, kernel(), rtol=1e-5)
    assert data.pixel_scale == pytest.approx(SCALE)
    assert (data.name, data.unit, data.notes) == ("J1", "ELECTRONS/S", [])
    assert data.image.dtype.isnative  # FITS has the bytes the other way round
    assert data.wcs is not None


def test_pixels_without_datum_are_masked(read, folder):
    values, noise = image(), RMS.copy()
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, 1.6e38
    noise[1, :4] = 0, np.nan, -1, 1e8
    write(folder / "image.fits", values, header())
    write(folder / "noise.fits", noise)
    mask = np.zeros((N, N))
    mask[2, 5] = 7
    write(folder / "mask.fits", mask)
    data = read(folder)
    masked = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [1, 3], [2, 5]]
    assert np.argwhere(np.isinf(data.noise)).tolist() == masked
    assert np.isfinite(data.image).all()
    assert f"8 of {N * N} pixels masked" in data.notes


def test_of_the_bands_of_euclid_vis_is_taken_and_the_others_are_named(read, tmp_path):
    data = read(euclid(tmp_path / "1234.fits"))
    np.testing.assert_allclose(data.image, image(1), rtol=1e-4, atol=1e-6)
    assert data.pixel_scale == pytest.approx(0.1)
    assert data.unit == "uJy"
    first, *others = data.notes
    assert first.startswith("1234.fits: from VIS_FLUX (extension 4), one of the 9 images in the")
    assert "not taken: DES_G_FLUX, NIR_Y_FLUX" in first
    assert others == ["noise map from 1234.fits[VIS_RMS]", "PSF from 1234.fits[VIS_PSF]"]


@pytest.mark.parametrize(
    "names",
    [
        ("{}", "{}_PSF", "{}_RMS"),
        ("{}_FLUX", "PSF", "RMS"),
        ("{}", "MERPSF_{}", "MERRMS_{}"),
        ("{}_BGSUB", "{}_PSF", "{}_RMS"),
    ],
)
def test_each_band_has_its_own_noise_and_psf(read, tmp_path, names):
    path = euclid(tmp_path / "1.fits", names)
    with fits.open(path) as file:
        for number in (2, 3, 5, 6, 8, 9):  # PSFs and noise maps that differ
            file[number].data = file[number].data * (1 + (number // 3) * 0.1)
        file.writeto(tmp_path / "2.fits")
    data = read(tmp_path / "2.fits", hdu=names[0].format("NIR_Y"))
    np.testing.assert_allclose(data.image, image(2), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(data.noise, SIGMA * 1.3, rtol=1e-6)


def test_extensions_are_named_in_brackets(read, tmp_path):
    planes = {"DRZ": image(), "SPARE": image(1), "LEVEL": RMS, "STAR": kernel()}
    hdus = [fits.ImageHDU(values, name=name) for name, values in planes.items()]
    path = tmp_path / "all.fits"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    of = lambda name: tmp_path / f"all.fits[{name}]"  # noqa: E731
    data = read(of("DRZ"), noise=of("LEVEL"), psf=of("4"), pixel_scale=0.05)
    np.testing.assert_allclose(data.image, image())
    np.testing.assert_allclose(data.psf, kernel())


def test_a_drizzled_image_of_hst_has_its_noise_in_an_inverse_variance(read, tmp_path):
    sci = fits.ImageHDU(image(), header(unit="ELECTRONS/S"), name="SCI")
    wht = fits.ImageHDU(RMS**-2, name="WHT")
    wht.data[3, 4] = 0
    fits.HDUList([fits.PrimaryHDU(), sci, wht]).writeto(tmp_path / "j1_drz.fits")
    psf = write(tmp_path / "star.fits", kernel())
    data = read(tmp_path / "j1_drz.fits", psf=psf)
    assert np.argwhere(np.isinf(data.noise)).tolist() == [[3, 4]]
    assert "noise from the weight map j1_drz.fits[WHT]: 1 / sqrt(weight)" in data.notes
    wht.data[:] = 2e5  # a map of exposure times
    fits.HDUList([fits.PrimaryHDU(), sci, wht]).writeto(tmp_path / "j1_drz.fits", overwrite=True)
    assert "give a noise map with --noise FILE" in refusal(read, tmp_path / "j1_drz.fits", psf=psf)


def test_flags_beside_the_image_in_its_file_are_bad_pixels(read, tmp_path):
    flags = np.zeros((N, N), np.int16)
    flags[1, 2] = 4
    planes = {"SCI": image(), "ERR": RMS, "DQ": flags, "PSF": kernel()}
    hdus = [fits.ImageHDU(values, name=name) for name, values in planes.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "j1.fits")
    data = read(tmp_path / "j1.fits", pixel_scale=0.05)
    assert np.argwhere(np.isinf(data.noise)).tolist() == [[1, 2]]
    assert "noise map from j1.fits[ERR]" in data.notes


def test_a_keyword_gives_the_pixel_scale_where_there_is_no_wcs(read, folder):
    write(folder / "image.fits", image(), fits.Header({"PIXSCALE": 0.03}))
    assert read(folder).pixel_scale == 0.03
    assert "--pixel-scale is 0.05 arcsec, and the header of the image has 0.03" in refusal(
        read, folder, pixel_scale=0.05
    )


def test_the_wcs_comes_before_a_keyword_that_disagrees(read, folder):
    write(folder / "image.fits", image(), header(PIXSCALE=0.3))
    data = read(folder)
    assert data.pixel_scale == pytest.approx(SCALE)
    assert data.notes == ["pixels of 0.05 arcsec by the WCS; a keyword of the header has 0.3"]


def test_without_wcs_the_pixel_scale_has_to_be_given(read, tmp_path):
    folder = slacs(tmp_path / "J1")
    assert refusal(read, folder).endswith("keyword with its pixel scale; give --pixel-scale ARCSEC")
    assert read(folder, pixel_scale=0.05).pixel_scale == 0.05


def test_a_catalogue_gives_pixel_scale_redshifts_and_place(folder):
    write(folder / "image.fits", image())
    (lens,) = find_lenses([folder], Given())
    lens = dataclasses.replace(lens, pixel_scale=0.04, z_lens=0.2, z_source=0.9, ra=1.0, dec=2.0)
    data = read_lens(lens, settings(pixel_scale=0.05))
    assert (data.pixel_scale, data.z_lens, data.z_source) == (0.04, 0.2, 0.9)
    assert (data.ra, data.dec) == (1.0, 2.0)


def test_a_header_gives_redshifts_where_no_catalogue_does(read, folder):
    write(folder / "image.fits", image(), header(Z_LENS=0.3, Z_SOURCE=1.2))
    data = read(folder)
    assert (data.z_lens, data.z_source) == (0.3, 1.2)
    assert "redshift 0.3 (lens) and 1.2 (source) from the header" in data.notes
    (lens,) = find_lenses([folder], Given())
    given = read_lens(dataclasses.replace(lens, z_lens=0.2), settings(pixel_scale=0.05))
    assert (given.z_lens, given.z_source) == (0.2, 1.2)
    assert "redshift 1.2 (source) from the header" in given.notes
    behind = read_lens(dataclasses.replace(lens, z_lens=1.5), settings(pixel_scale=0.05))
    assert (behind.z_lens, behind.z_source) == (1.5, None)
    assert any("the source must be behind the lens" in note for note in behind.notes)


def test_image_noise_and_mask_have_one_shape(read, folder):
    write(folder / "mask.fits", np.zeros((N, N + 1)))
    assert "has 40 x 40 pixels and its mask (mask.fits) 40 x 41; cut" in refusal(read, folder)
    write(folder / "noise.fits", RMS[1:])
    assert "has 40 x 40 pixels and its noise (noise.fits) 39 x 40; cut" in refusal(read, folder)


def test_a_mask_that_leaves_too_few_pixels_is_refused(read, folder):
    mask = np.ones((N, N))
    mask[:10, :10] = 0
    write(folder / "mask.fits", mask)
    line = refusal(read, folder)
    assert line.startswith("only 100 of its 1600 pixels are good, 1500 of them by mask.fits, where")


def test_an_image_of_too_few_pixels_is_refused(read, folder):
    write(folder / "image.fits", image()[:14, :14], header())
    write(folder / "noise.fits", RMS[:14, :14])
    assert refusal(read, folder) == "it has only 14 x 14 pixels; a model needs 200"


def test_an_image_of_equal_pixels_is_refused(read, folder):
    write(folder / "image.fits", np.ones((N, N)), header())
    assert refusal(read, folder) == "all of its pixels are equal"


def test_a_cube_is_refused(read, folder):
    write(folder / "image.fits", np.ones((3, N, N)), header())
    assert "image.fits: it holds an array of 3 x 40 x 40, not one image" in refusal(read, folder)


def test_pixels_that_are_not_square_are_refused(read, folder):
    head = header()
    head["CDELT1"] *= 1.2
    write(folder / "image.fits", image(), head)
    assert "its pixels are 0.06 x 0.05 arcsec, not square" in refusal(read, folder)


@pytest.mark.parametrize("missing", ["noise", "psf"])
def test_a_missing_file_is_named_with_its_option(read, folder, missing):
    (folder / f"{missing}.fits").unlink()
    assert f"give --{missing} FILE" in refusal(read, folder)


def test_a_psf_of_even_size_is_recentred_and_noted(read, folder):
    write(folder / "psf.fits", kernel(8))
    data = read(folder)
    assert all(n % 2 for n in data.psf.shape)
    assert data.notes[0].startswith("PSF psf.fits: ")


def test_packed_files_are_read(read, folder):
    with fits.open(folder / "noise.fits") as file:
        file.writeto(folder / "noise.fits.gz")
    (folder / "noise.fits").unlink()
    np.testing.assert_allclose(read(folder).noise, SIGMA, rtol=1e-6)


def test_names_from_files_move_no_cursor(read, folder):
    fits.PrimaryHDU(image()).writeto(folder / "image.fits", overwrite=True)
    hostile = folder / "a\x1b[2Jb.fits"
    (folder / "image.fits").rename(hostile)
    assert "\x1b" not in refusal(read, hostile)
