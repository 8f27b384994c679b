"""Keywords that stay true of an image whose pixels are changed."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from simulate.importers.keywords import kept_keywords

KEPT = {"EXPTIME": 2100.0, "FILTER": "F160W", "OBJECT": "J0037-0942", "DATE-OBS": "2006-01-02"}
#: Of the pixels that were.
DROPPED = {
    "CD1_1": -1e-5,
    "CD2_2": 1e-5,
    "CRPIX1": 4.0,
    "CRVAL1": 10.0,
    "CTYPE1": "RA---TAN-SIP",
    "A_ORDER": 2,
    "A_2_0": 1e-6,
    "LTV1": -30.0,
    "LTM1_1": 1.0,
    "DATASEC": "[1:8,1:8]",
    "DATAMAX": 7.0,
    "BUNIT": "e-/s",
    "CRPIX1A": 3.0,
    "D001SCAL": 0.05,
    "PIXAR_A2": 0.0025,
    "PIXSCALE": 0.05,
}


def test_what_was_observed_is_kept_and_what_was_of_the_pixels_is_not() -> None:
    image = fits.ImageHDU(np.zeros((8, 8), np.int16), name="SCI")
    image.header.update(DROPPED | {"FILTER": "F814W", "PCFACTOR": 1.0, "A_CENTER": 3.0})
    image.header["HISTORY"] = "drizzled"
    image.add_checksum()
    first = fits.PrimaryHDU()
    first.header.update(KEPT)
    file = fits.HDUList([first, image])
    kept = kept_keywords(file, image)
    assert dict(kept) == {
        **KEPT,
        "FILTER": "F814W",
        "PCFACTOR": 1.0,
        "A_CENTER": 3.0,
        "HISTORY": kept["HISTORY"],
    }
    assert list(kept["HISTORY"]) == ["drizzled"]
    assert "EXPTIME" not in image.header, "the file is as it was"
    assert first.header["EXPTIME"] == KEPT["EXPTIME"]


def test_an_image_of_its_own_keeps_its_keywords_once() -> None:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-1e-5, 1e-5]
    image = fits.PrimaryHDU(np.zeros((8, 8)), wcs.to_header())
    image.header.update(KEPT)
    image.header["COMMENT"] = "one"
    kept = kept_keywords(fits.HDUList([image]), image)
    assert kept["EXPTIME"] == 2100.0
    assert kept.count("COMMENT") == 1
    assert not {"CRPIX1", "CTYPE1", "CDELT1", "NAXIS1", "SIMPLE", "BITPIX"} & set(kept)


def test_cards_that_could_not_be_written_are_left_out(tmp_path: Path) -> None:
    cards = [
        "SIMPLE  =                    T",
        "BITPIX  =                   16",
        "NAXIS   =                    0",
        "FILTER  = 'F160W   '",
        "TEMP    =                  NaN",
        "OBSERVER= unquoted",
        "WE.THER =                  1.0",
        "END",
    ]
    path = tmp_path / "odd.fits"
    path.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode())
    with fits.open(path) as file:
        kept = kept_keywords(file, file[0])
    fits.PrimaryHDU(np.zeros((2, 2)), kept).writeto(tmp_path / "new.fits")
    assert fits.getheader(tmp_path / "new.fits")["FILTER"] == "F160W"
