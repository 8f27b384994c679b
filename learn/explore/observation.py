"""The image that lies beside the model: one of a file, or none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import lensphys as lp
from learn.explore.settings import ExploreSettings
from learn.modelling.reading.lens_files import Given, find_lenses
from learn.modelling.reading.lens_images import read_lens
from learn.modelling.settings import ModelSettings
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from lensphys.psf import PSF
from simulate import shards
from simulate.dataset.photometry import Photometry
from simulate.importers.errors import BrokenFileError
from simulate.shards import MANIFEST, DataSet

#: Pixels on a side, at most: everything has to follow a slider at once.
_MOST = 128
#: Of a lens without an image, arcsec.
_PIXEL_SCALE = 0.08


@dataclasses.dataclass(frozen=True, eq=False)
class Observation:
    """An image with its noise and PSF, or the frame of an image without any.

    Attributes:
        name: in words.
        shape: (ny, nx).
        pixel_scale: arcsec.
        image: (ny, nx), flux per pixel; None: there is none.
        noise: (ny, nx), infinite where a pixel is masked; None where there is no image.
        psf: kernel or profile; None: a Gaussian of any width.
        z_lens: redshift of the lens.
        z_source: redshift of the source.
    """

    name: str
    shape: tuple[int, int]
    pixel_scale: float
    image: NDArray[np.float64] | None = None
    noise: NDArray[np.float64] | None = None
    psf: PSF | None = None
    z_lens: float = 0.5
    z_source: float = 1.0

    @property
    def half(self) -> float:
        """Half the width of the image, arcsec."""
        return 0.5 * self.pixel_scale * min(self.shape)

    @property
    def level(self) -> tuple[float, float]:
        """Flux of bright pixels and noise of the sky, both per pixel; of no image, 1 and 0.02."""
        if self.image is None or self.noise is None:
            return 1.0, 0.02
        good = np.isfinite(self.noise)
        return float(np.quantile(self.image[good], 0.98)), float(np.quantile(self.noise[good], 0.2))


def observe(path: Path | None, settings: ExploreSettings) -> Observation:
    """Read the image to explore.

    Args:
        path: FITS file or folder of one lens, as ``model`` reads them, or a data set; None: there
            is no image. Images of more than 128 pixels on a side are cut to the middle.
        settings: of the page; their redshifts come before those of the image.

    Raises:
        InputError: for what cannot be read.
    """
    if path is None:
        scale = settings.pixel_scale or _PIXEL_SCALE
        found = Observation("a lens without an image", (settings.size, settings.size), scale)
    elif (path / MANIFEST).is_file():
        found = _of_data_set(path, settings)
    else:
        found = _of_file(path, settings)
    z_lens, z_source = settings.z_lens or found.z_lens, settings.z_source or found.z_source
    if z_source <= z_lens:
        raise InputError(
            f"z_source must be above z_lens: they are {z_source:g} and {z_lens:g}; set both, "
            f"`--set z_lens={z_lens:g} --set z_source={2 * z_lens:g}`"
        )
    return dataclasses.replace(found, z_lens=z_lens, z_source=z_source)


def _redshifts(z_lens: float | None, z_source: float | None) -> dict[str, float]:
    """Redshifts that are known, both or none: one alone may not go with the usual other."""
    if z_lens is None or z_source is None or not 0 < z_lens < z_source:
        return {}
    return {"z_lens": z_lens, "z_source": z_source}


def _of_file(path: Path, settings: ExploreSettings) -> Observation:
    lenses = find_lenses([path], Given())
    last = len(lenses) - 1
    if settings.index is None and last:
        names = ", ".join(lens.name for lens in lenses[:5]) + (", ..." if last > 4 else "")
        raise InputError(
            f"{path} holds {len(lenses)} lenses; choose one with --index 0 to {last}: {names}"
        )
    chosen = settings.index or 0
    if chosen > last:
        raise InputError(f"{path}: --index goes from 0 to {last}")
    model = load_config(
        ModelSettings,
        shipped_config("model", "model", "command"),
        pixel_scale=settings.pixel_scale,
        hdu=settings.hdu,
    )
    try:
        data = read_lens(lenses[chosen], model)
    except BrokenFileError as error:
        raise InputError(f"{path}: {error}") from None
    data = data.within(0.5 * _MOST * data.pixel_scale) if max(data.image.shape) > _MOST else data
    kernel = lp.PixelPSF(kernel=torch.from_numpy(data.psf), pixel_scale=data.pixel_scale)
    shape = (data.image.shape[0], data.image.shape[1])
    known = _redshifts(data.z_lens, data.z_source)
    return Observation(data.name, shape, data.pixel_scale, data.image, data.noise, kernel, **known)


def _of_data_set(path: Path, settings: ExploreSettings) -> Observation:
    data, index = shards.read(path), settings.index or 0
    if index >= len(data):
        raise InputError(f"{path} has {len(data)} images; --index goes from 0 to {len(data) - 1}")
    one = data.rows(np.array([index]))
    known = Photometry.of(one)
    flux = torch.from_numpy(one.image[:, 0]).double() * float(known.rate[0])
    noise = known.mean_and_sigma(flux)[1][0].numpy()
    ny, nx = (slice(max(0, (n - _MOST) // 2), (n + _MOST) // 2) for n in noise.shape)
    image, noise = flux[0].numpy()[ny, nx], noise[ny, nx]
    shape = (image.shape[0], image.shape[1])
    name = f"image {index} of {path}"
    redshifts = _redshifts(*(_redshift_of(one, key) for key in ("z_lens", "z_source")))
    return Observation(name, shape, known.pixel_scale, image, noise, known.psf, **redshifts)


def _redshift_of(one: DataSet, key: str) -> float | None:
    """A redshift of an image: in a column of its own, or that of all in the configuration."""
    if key in one.params:
        value = one.params[key][0]
        return float(value) if np.isfinite(value) else None
    lens = one.config.get("lens")
    value = lens.get(key) if isinstance(lens, dict) else None
    return value if isinstance(value, float) else None
