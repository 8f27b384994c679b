"""FITS cutouts: the image, its scale, its unit, its bad pixels."""

import gzip

import numpy as np
import pytest
from astropy.io import fits

from tests.simulate.importers.make_files import refusal, save_fits, wcs_header


@pytest.mark.parametrize("rotated", [False, True])
def test_cutouts_bring_their_pixel_scale_and_unit(rotated, tmp_path, importing):
    header = wcs_header(0.0996, rotated=rotated, unit="nJy")
    kept = [save_fits(tmp_path / "cut" / f"{i}.fits", None, header) for i in range(3)]
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.attrs["pixel_scale"] == pytest.approx(0.0996, rel=1e-9)
    assert data.attrs["unit"] == "nJy"
    assert data.label_names == ["unlabelled"]
    assert np.array_equal(data.image[:, 0], kept)


def test_cutouts_bring_their_exposure_times(tmp_path, importing):
    """They are in the header of the image, else in the first one; what is no time is unknown."""
    for i, value in enumerate([100.0, 200, "long", -1.0]):
        header = wcs_header()
        header["EXPTIME"] = value
        save_fits(tmp_path / "cut" / f"{i}.fits", None, header)
    save_fits(tmp_path / "cut" / "4.fits")
    fits.setval(tmp_path / "cut" / "4.fits", "EXPTIME", value=300.0)
    data = importing(tmp_path / "cut", pixel_scale=None)
    times = data.params["exposure_time"]
    assert np.array_equal(times, [100, 200, np.nan, np.nan, 300], equal_nan=True)
    told = importing(tmp_path / "cut", pixel_scale=None, exposure_time=50.0, out=tmp_path / "told")
    assert told.params["exposure_time"].tolist() == [50.0] * 5


def test_the_image_is_found_beside_weights_and_tables(tmp_path, importing):
    weight = fits.ImageHDU(np.ones((8, 8), np.float32), name="WHT")
    table = fits.BinTableHDU.from_columns([fits.Column("a", "D", array=np.ones(3))])
    pixels = save_fits(tmp_path / "cut" / "1.fits", None, None, table, weight)
    assert np.array_equal(importing(tmp_path / "cut", pixel_scale=None).image[0, 0], pixels)


@pytest.mark.parametrize("kind", ["gz", "fz", "primary"])
def test_compressed_and_simple_files(kind, tmp_path, importing):
    pixels = np.arange(64, dtype=np.int16).reshape(8, 8)
    folder = tmp_path / "cut"
    folder.mkdir()
    if kind == "fz":
        hdu = fits.CompImageHDU(pixels, wcs_header())
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / "a.fits.fz")
    else:
        fits.PrimaryHDU(pixels, wcs_header()).writeto(folder / "a.fits")
    if kind == "gz":
        (folder / "a.fits.gz").write_bytes(gzip.compress((folder / "a.fits").read_bytes()))
        (folder / "a.fits").unlink()
    assert np.array_equal(importing(folder, pixel_scale=None).image[0, 0], pixels)


def test_what_a_mask_detected_is_not_bad(tmp_path, importing):
    """In the masks of Rubin and Subaru the bit DETECTED covers the lens itself."""
    mask = np.full((8, 8), 1 << 5, np.int32)
    mask[3, 3] |= 1 << 0
    planes = fits.ImageHDU(mask, name="MASK")
    planes.header["HIERARCH MP_BAD"], planes.header["HIERARCH MP_DETECTED"] = 0, 5
    save_fits(tmp_path / "cut" / "1.fits", None, None, planes)
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.params["n_bad_pixels"].tolist() == [1]


def test_blank_integers_are_bad(tmp_path, importing):
    pixels = np.full((8, 8), 7, np.int16)
    pixels[4, 4] = -999
    hdu = fits.PrimaryHDU(pixels, wcs_header())
    hdu.header["BLANK"] = -999
    (tmp_path / "cut").mkdir()
    hdu.writeto(tmp_path / "cut" / "1.fits")
    data = importing(tmp_path / "cut", pixel_scale=None)
    assert data.params["n_bad_pixels"].tolist() == [1]
    assert (data.image == 7).all()


def test_axes_without_a_width_are_no_wcs(tmp_path):
    """The standard's default would be pixels of one degree."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"})
    save_fits(tmp_path / "cut" / "1.fits", None, header)
    assert "give --pixel-scale" in refusal(tmp_path / "cut", tmp_path / "out", pixel_scale=None)


def shortened_fits(path):
    path.write_bytes(path.read_bytes()[:5800])


def claims_a_million_pixels_on_a_side(path):
    head = fits.PrimaryHDU(np.ones((8, 8))).header
    head["NAXIS1"], head["NAXIS2"] = 10**6, 10**6
    path.write_bytes(head.tostring().encode() + bytes(2880))


@pytest.mark.parametrize(
    "damage",
    [
        shortened_fits,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"SIMPLE  = nonsense" * 400),
        lambda path: fits.PrimaryHDU().writeto(path, overwrite=True),
        claims_a_million_pixels_on_a_side,
        lambda path: fits.PrimaryHDU(np.ones((3, 8, 8))).writeto(path, overwrite=True),
    ],
)
def test_a_broken_cutout_among_many_is_skipped(damage, tmp_path, importing):
    for i in range(3):
        save_fits(tmp_path / "cut" / f"{i}.fits")
    damage(tmp_path / "cut" / "1.fits")
    assert len(importing(tmp_path / "cut", pixel_scale=None)) == 2
    assert [line.partition(":")[0] for line in importing.lines] == ["skipped 1.fits"]
