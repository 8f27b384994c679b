"""Files to import: arrays, pickles and cutouts."""

import io
import pickle

import numpy as np
import numpy.lib.format as npy_format
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.importers.config import ImportConfig
from simulate.importers.run import import_images

RNG = np.random.default_rng(7)


MASS = 3.5e-23


def image(n=8):
    return RNG.normal(1.0, 0.1, (n, n))


def object_array(*members):
    array = np.empty(len(members), object)
    array[:] = members
    return array


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def npy_of(data, shape=(2,)):
    """An .npy file that says it holds an object array, and then these bytes."""
    file = io.BytesIO()
    npy_format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def options(**changes):
    changes = {"pixel_scale": 0.05} | changes
    return load_config(ImportConfig, shipped_config("import", "import", "command"), **changes)


def refusal(source, out, **changes):
    with pytest.raises(InputError) as error:
        import_images(source, options(out=out, **changes))
    assert "\n" not in str(error.value)
    assert not out.exists()
    return str(error.value)


def coarse(high):
    return high.reshape(len(high), 1, high.shape[2] // 2, 2, -1, 2).mean((3, 5))


def wcs_header(scale=0.1, ratio=1.0, *, rotated=False, unit=None):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.1, 2.2], [4, 4]
    x, y = scale / 3600, ratio * scale / 3600
    if rotated:
        cos, sin = np.cos(0.3), np.sin(0.3)
        wcs.wcs.cd = [[-x * cos, y * sin], [x * sin, y * cos]]
    else:
        wcs.wcs.cdelt = [-x, y]
    header = wcs.to_header()
    if unit:
        header["BUNIT"] = unit
    return header


def save_fits(path, pixels=None, header=None, *others, name="SCI"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image().astype(np.float32) if pixels is None else pixels
    sci = fits.ImageHDU(pixels, wcs_header() if header is None else header, name=name)
    fits.HDUList([fits.PrimaryHDU(), *others, sci]).writeto(path)
    return pixels


def pickled(path, *members, protocol=4):
    path.write_bytes(npy_of(pickle.dumps(object_array(*members), protocol=protocol)))
    return path


def stack_global(module, name):
    parts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    return b"\x80\x04" + parts + b"\x93"


NUMPY_2 = "numpy._core.multiarray"


def header(descr, shape):
    file = io.BytesIO()
    npy_format.write_array_header_1_0(
        file, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()
