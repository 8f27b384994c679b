"""Files of lenses of our own making: folders as of SLACS, files as of Euclid's Q1, catalogues."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from learn.modelling.settings import ModelSettings
from lensphys.ground.config import load_config, shipped_config

#: Pixels on a side, noise and pixel scale of the images.
N, SIGMA, SCALE = 40, 0.1, 0.05
BANDS = ("DES_G", "VIS", "NIR_Y")


def settings(**changes):
    return load_config(
        ModelSettings, shipped_config("model", "model", "command"), overrides=changes
    )


def image(seed=0, n=N, sigma=SIGMA):
    """A blob and a ring behind noise."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    r = np.hypot(x, y)
    light = 5 * np.exp(-0.5 * (r / 2) ** 2) + np.exp(-0.5 * ((r - n / 6) / 1.2) ** 2)
    return light + np.random.default_rng(seed).normal(0, sigma, (n, n))


def kernel(n=7, width=1.0, shift=(0.0, 0.0)):
    """A PSF of n x n pixels, its peak in the middle pixel or shifted from it, (y, x)."""
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    psf = np.exp(-0.5 * ((x - shift[1]) ** 2 + (y - shift[0]) ** 2) / width**2)
    return psf / psf.sum()


def header(scale=SCALE, unit=None, n=N, **keywords):
    """A WCS with the middle of the image at 150.1, 2.2 degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.1, 2.2]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(n + 1) / 2] * 2, [-scale / 3600, scale / 3600]
    found = wcs.to_header()
    if unit:
        found["BUNIT"] = unit
    found.update(keywords)
    return found


def write(path: Path, values, head=None):
    """One plane in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(np.asarray(values, ">f4"), head).writeto(path, overwrite=True)
    return path


def slacs(folder: Path, names=("image", "noise", "psf"), seed=0, head=None, n=N):
    """A folder with the three files of one lens, single precision, headers without WCS."""
    values = image(seed, n), np.full((n, n), SIGMA), kernel()
    for name, plane in zip(names, values, strict=True):
        write(folder / f"{name}.fits", plane, head if name == names[0] else None)
    return folder


def euclid(path: Path, names=("{}_FLUX", "{}_PSF", "{}_RMS")):
    """Bands of several surveys in one file, each with PSF and noise; VIS is not the first."""
    hdus = [fits.PrimaryHDU()]
    for number, band in enumerate(BANDS):
        planes = image(number), kernel(), np.full((N, N), SIGMA)
        for name, plane in zip(names, planes, strict=True):
            head = header(0.1, "uJy") if plane is planes[0] else None
            hdus.append(fits.ImageHDU(plane.astype(np.float32), head, name=name.format(band)))
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList(hdus).writeto(path)
    return path


def catalogue(path: Path, rows, columns="name,image,noise,psf"):
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path
