"""Images of lenses with noise maps and PSFs of their own, on the pixels of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from learn.config import PredictConfig
from learn.inference.cutouts import Cutout, CutoutRemarks, Progress
from learn.inference.model import Model
from learn.inference.resample import resample, resample_kernel, resample_noise
from learn.modelling.lens_data import LensData
from learn.modelling.reading.lens_files import LensFiles
from learn.modelling.reading.lens_images import read_lens
from learn.modelling.settings import ModelSettings
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.dataset.photometry import Optics, Photometry
from simulate.importers.errors import BrokenFileError

#: Noise of masked pixels, over that of the sky.
_MASKED = 1e3
#: Quantile of a noise map that is the noise of the sky.
_SKY = 0.2


def read_lens_cutouts(
    lenses: Sequence[LensFiles],
    model: Model,
    config: PredictConfig,
    remarks: CutoutRemarks,
    report: Progress,
) -> Iterator[Cutout]:
    """Read lenses on the pixels of a network; broken ones are remarked upon and left out.

    Args:
        lenses: their files, found as ``model`` finds them.
        model: a network that fits a lens to each image.
        config: pixel scale and extension of images that do not state them.
        remarks: on what was done.
        report: called as lenses are dealt with.

    Raises:
        InputError: for a network without lens fits, or one that makes images.
    """
    if model.task.lens_fitting is None or model.makes_images:
        why = "makes images" if model.makes_images else "fits no lens to an image"
        raise InputError(
            f"{model.folder} {why}: the PSF and noise of an image change nothing; leave out "
            "--own-optics"
        )
    settings = load_config(
        ModelSettings,
        shipped_config("model", "model", "command"),
        pixel_scale=config.pixel_scale,
        hdu=config.hdu,
    )
    for lens in lenses:
        try:
            data = read_lens(lens, settings)
            cutout = make_cutout(data, lens, model)
        except BrokenFileError as error:
            remarks.skip(lens.place or str(lens.image), error)
        else:
            remarks.note([*cutout.frame.notes, "scaled to the background noise of the training"])
            yield cutout
        report(lens.image, 1.0)


def make_cutout(data: LensData, lens: LensFiles, model: Model) -> Cutout:
    """The image of a lens on the pixels of a network, with PSF and noise.

    Fluxes come in the unit in which the noise of its sky is that of the training images: the unit
    of a real image is often another, and what the network sees is its signal-to-noise ratio. The
    noise of resampled pixels is that of independent ones; that of neighbours is correlated.

    Raises:
        BrokenFileError: for an image of a few pixels only.
    """
    good = np.isfinite(data.noise)
    sky = float(np.quantile(data.noise[good], _SKY))
    image = np.where(good, data.image, np.median(data.image[good]))
    frame = resample(image, model.size, data.pixel_scale, model.pixel_scale)
    masked = _MASKED * sky * frame.step
    noise = resample_noise(np.where(good, data.noise, _MASKED * sky), frame, masked)
    known = Photometry.known(
        model.data.attrs, np.ones(1), model.column, str(model.folder), model.data.config
    )
    shown = noise[frame.rows, frame.columns]
    wanted = known.background_sigma / known.rate[0]
    factor = wanted / float(np.quantile(shown[shown < masked / 2], _SKY))
    frame.pixels[:] *= factor
    bad = int((~good).sum())
    return Cutout(
        lens.image,
        0,
        1,
        frame,
        bad,
        filled=bad / image.size,
        blank=False,
        unit=None,
        surface_brightness=model.surface_brightness,
        wcs=data.wcs,
        pixel_scale=data.pixel_scale,
        exposure_time=math.nan,
        optics=Optics(resample_kernel(data.psf, frame.step), factor * noise),
    )
