"""Super-resolved images as FITS files, in their place on the sky."""

from __future__ import annotations

import copy
import math
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip
from numpy.typing import NDArray

from learn.inference.cutouts import Cutout
from learn.inference.model import Model
from learn.inference.outputs import IMAGE_KEYS, check_image, name_stem, writing
from learn.inference.tables import Predictions
from lensphys.ground.files import replacing
from lensphys.ground.locks import hold
from lensphys.ground.names import ascii_text

#: Keys of the resemblance of an image to those of the training.
_KEYS = {
    "chi2_dof": "CHI2DOF",
    "radius_error": "RADERR",
    "misfit": "MISFIT",
    "distance": "DISTANCE",
}


def write_images(out: Path, predictions: Predictions, model: Model, *, overwrite: bool) -> int:
    """Write one FITS file an image; return their number.

    Args:
        out: the folder.
        predictions: of images in batches.
        model: the network.
        overwrite: replace files of any kind.

    Raises:
        InputError: if they cannot be written.
    """
    names: Counter[str] = Counter()
    count = 0
    with hold(out):
        for predicted in predictions:
            images = predicted.values[:, 0].numpy()
            for i, (cutout, image) in enumerate(zip(predicted.cutouts, images, strict=True)):
                factor = image.shape[-1] // model.size
                hdu = _make_hdu(cutout, image, factor, model)
                hdu.header["FLAG"] = (str(predicted.flags[i]), "empty for an ordinary image")
                for name, column in (predicted.judged.columns if predicted.judged else {}).items():
                    # A header has no infinite numbers.
                    value = float(column[i])
                    hdu.header[_KEYS[name]] = value if math.isfinite(value) else str(value)
                name = _name_file(cutout, factor, names)
                with writing(out):
                    place = check_image(out / name, overwrite=overwrite)
                    with replacing(place) as temporary:
                        hdu.writeto(temporary)
                count += 1
    return count


def _name_file(cutout: Cutout, factor: int, names: Counter[str]) -> str:
    """The file of an image; images of one name in several folders are numbered."""
    stem = name_stem(cutout.path)
    stem += f"-{cutout.index:05d}" if cutout.count > 1 else ""
    names[stem] += 1
    return f"{stem}_x{factor}{f'-{names[stem]}' if names[stem] > 1 else ''}.fits"


def _make_hdu(
    cutout: Cutout, image: NDArray[np.float32], factor: int, model: Model
) -> fits.PrimaryHDU:
    """A super-resolved image without its padding, with WCS and keywords of the original.

    A surface brightness stays what it is, and the flux of a pixel is shared by those that it
    becomes, whichever of the two the network was trained on.
    """
    frame = cutout.frame
    rows, columns = (
        slice(part.start * factor, part.stop * factor) for part in (frame.rows, frame.columns)
    )
    header = fits.Header() if cutout.header is None else cutout.header.copy()
    if cutout.wcs is not None:
        finer = _zoom_wcs(cutout.wcs, frame.corner, frame.step / factor)
        header.update(finer.to_header(relax=True))
    if cutout.unit is not None:
        header["BUNIT"] = ascii_text(cutout.unit)
    header["PIXSCALE"] = (model.pixel_scale / factor, "arcsec")
    bad, file, index = IMAGE_KEYS
    header[bad] = (cutout.bad, "pixels of the original that were filled")
    header[file] = ascii_text(cutout.path.name)
    header[index] = (cutout.index, "of the image in its file, from 0")
    shared = {True: 1, False: factor**2}
    given, trained = (
        shared[each] for each in (cutout.surface_brightness, model.surface_brightness)
    )
    pixels = image[rows, columns]
    return fits.PrimaryHDU(pixels if given == trained else pixels * (trained / given), header)


def _zoom_wcs(wcs: WCS, corner: tuple[float, float], step: float) -> WCS:
    """The WCS of pixels that are ``step`` old ones wide, the first of them at ``corner`` (y, x)."""
    zoomed = copy.deepcopy(wcs)
    edge = np.array(corner[::-1])
    # The edge of the first pixel is at 0.5 in FITS.
    zoomed.wcs.crpix = (wcs.wcs.crpix - 0.5 - edge) / step + 0.5
    if wcs.wcs.has_cd():
        zoomed.wcs.cd = wcs.wcs.cd * step
    else:
        zoomed.wcs.cdelt = wcs.wcs.cdelt * step
    if wcs.sip is not None:
        zoomed.sip = _zoom_sip(wcs.sip, zoomed.wcs.crpix, step)
    return zoomed


def _zoom_sip(sip: Sip, crpix: NDArray[np.float64], step: float) -> Sip:
    """Distortions as polynomials of the new pixels: those of order n scale with step^(n - 1)."""

    def scaled(terms: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if terms is None:
            return None
        order = np.add.outer(np.arange(len(terms)), np.arange(len(terms)))
        return terms * step ** (order - 1.0)

    return Sip(scaled(sip.a), scaled(sip.b), scaled(sip.ap), scaled(sip.bp), crpix)
