"""An encoder as it is used: fluxes in, features out, without its training data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.data import InMemory, Stretch
from learn.data_description import DataDescription
from learn.inference.encoder_input import EncoderInput, read_input
from learn.inference.model_file import restore
from learn.inference.network import Network
from learn.lens_fits.lens_fits import LensFits
from learn.networks import encoder_files
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import Backbone, read_description
from learn.run_files import DESCRIPTION, MODEL
from learn.runs import find_encoder
from lensphys.arrays import take_map
from lensphys.ground.errors import InputError
from simulate.dataset.padding import check_padding
from simulate.shards import DataSet

#: The largest factor between the sizes, or the pixel scales, of images and those of the training.
FAR = 1.5
#: Images whose features are computed at once.
_BLOCK = 256


class LoadedEncoder(Network):
    """An encoder with its weights, and the form of the images that it was trained on.

    Attributes:
        encoder: the network.
        seen: the form in which it sees images.
        data: the form of the data that it was trained on: ``size``, ``pixel_scale`` and ``unit``
            describe the images that it expects.
        folder: folder of the run.
    """

    def __init__(
        self, encoder: Backbone, seen: EncoderInput, data: DataDescription, folder: Path
    ) -> None:
        super().__init__("embed", data, folder)
        self.encoder, self.seen = encoder, seen

    @property
    def column(self) -> str:
        """The column of a data set that it sees: ``image`` or ``image_lr``."""
        return self.seen.column

    @property
    def flux_stretch(self) -> Stretch:
        """The stretch of its fluxes."""
        return self.seen.stretch

    @property
    def width(self) -> int:
        """Number of features of an image."""
        return int(self.encoder.width)

    @property
    def sees_lens_fits(self) -> bool:
        """True where a lens is fitted to each image before the network sees it."""
        return self.seen.lens_fitting is not None

    def features(
        self,
        images: Tensor | NDArray[Any],
        *,
        exposure: NDArray[np.float64] | float | None = None,
        pixel_scale: float | None = None,
        psf_fwhm: float | None = None,
        background_sigma: float | None = None,
        padding: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """Features (B, D) of images, on the device of the encoder.

        Images are taken as they are: their pixels are not resampled. Where the encoder sees lens
        fits, a lens is fitted to each image, with the pixel scale, PSF and noise that are given, or
        those of the training data.

        Args:
            images: flux per pixel (B, 1, ny, nx), (B, ny, nx) or (ny, nx), in the unit of the
                training data.
            exposure: total exposure time, s, (B,) or one for all; None, or NaN: the median of the
                training images.
            pixel_scale: width of a pixel, arcsec.
            psf_fwhm: full width at half maximum of the PSF, arcsec.
            background_sigma: standard deviation of the background noise of a pixel, e-/s.
            padding: (B, 4) around the images, see :func:`simulate.dataset.padding.read_padding`,
                which does not count where a lens is fitted; None without.

        Raises:
            ValueError: for images that are no arrays of finite numbers, optics that are not
                positive, or padding that is not four whole numbers for each image.
            InputError: for images whose size or pixel scale is far from that of the training.
        """
        flux = take_map("images", images).to(self.flux_stretch.softening)
        if flux.ndim < 4:
            flux = flux.view(-1, 1, *flux.shape[-2:])
        if flux.shape[1] != 1:
            raise ValueError(f"images must have one channel, got {flux.shape[1]}")
        if not flux.isfinite().all():
            raise ValueError("images must hold finite numbers; fill bad pixels first")
        padding = None if padding is None else check_padding(padding, len(flux))
        optics = {"psf_fwhm": psf_fwhm, "background_sigma": background_sigma}
        data = self._with_optics({"pixel_scale": pixel_scale} | optics)
        scale = self.pixel_scale if pixel_scale is None else pixel_scale
        self.check_form(flux.shape[-2:], scale, "the images", "resample or crop them first")
        times = np.broadcast_to(np.float64(np.nan if exposure is None else exposure), len(flux))
        parts = [flux.new_zeros(0, self.width)]
        for start in range(0, len(flux), _BLOCK):
            rows = slice(start, start + _BLOCK)
            block, around = flux[rows], None if padding is None else padding[rows]
            fits = self._fit_loose(block, times[rows], data, around)
            parts.append(self(block, fits))
        return torch.cat(parts)

    def forward(self, flux: Tensor, fits: LensFits | None) -> Tensor:
        """Features (B, D) of fluxes (B, 1, ny, nx), with lens fits where the encoder sees them."""
        features: Tensor = self.encoder.features(self.seen(flux, fits)).float()
        return features

    @torch.inference_mode()
    def features_of(self, data: DataSet) -> Tensor:
        """Features (N, D) of the images of a data set, on the CPU.

        Images are taken as they are. Lens fits are those of the data set, with its own PSF and
        noise; they are stored beside it.

        Raises:
            InputError: for a data set in another unit, or whose size or pixel scale is far from
                that of the training.
        """
        images = data.image if self.column == "image" else data.image_lr
        if images is None:
            raise InputError(
                f"{data.path} has no images at lower resolution, which the encoder of "
                f"{self.folder} sees; choose another data set"
            )
        unit = str(data.attrs.get("unit", "unknown"))
        if unit != self.unit:
            raise InputError(
                f"{data.path} has images in '{unit}', and {self.folder} was trained on "
                f"'{self.unit}'; choose another data set"
            )
        key = self._key("pixel_scale")
        scale = float(data.attrs.get(key, self.pixel_scale))
        advice = f"files are resampled: give {data.path}/shard-*.h5 in its place"
        self.check_form(images.shape[-2:], scale, str(data.path), advice)
        part, device = self.seen.lens_fitting, self.flux_stretch.softening.device
        fits = None if part is None else part.fit_data_set(data, str(device))
        memory = InMemory(data, fits=fits)
        parts = [torch.zeros(0, self.width)]
        for rows in torch.arange(len(data)).split(_BLOCK):
            batch = memory[rows]
            flux = batch.image_lr if self.column == "image_lr" else batch.image
            assert flux is not None
            own = None if batch.fits is None else batch.fits.to(device)
            parts.append(self(flux.to(device), own).cpu())
        return torch.cat(parts)

    def check_form(
        self, shape: torch.Size | tuple[int, ...], scale: float, what: str, advice: str
    ) -> None:
        """Refuse images that are far from those of the training.

        Args:
            shape: pixels (ny, nx).
            scale: width of a pixel, arcsec.
            what: the images, for the message.
            advice: for the message.

        Raises:
            InputError: for a size or a pixel scale that differs by more than a factor ``FAR``.
        """
        for size in shape:
            if not 1 / FAR <= size / self.size <= FAR:
                raise InputError(
                    f"{what} have {size} pixels on a side, and {self.folder} was trained on "
                    f"{self.size}; {advice}"
                )
        if not 1 / FAR <= scale / self.pixel_scale <= FAR:
            raise InputError(
                f"{what} have pixels of {scale:.3g} arcsec, and {self.folder} was trained on "
                f"{self.pixel_scale:.3g}; {advice}"
            )

    def _fit_loose(
        self,
        flux: Tensor,
        exposure: NDArray[np.float64],
        data: DataDescription,
        padding: NDArray[np.int64] | None,
    ) -> LensFits | None:
        part = self.seen.lens_fitting
        if part is None:
            return None
        photometry = part.photometry(data, exposure, self.column, str(self.folder), padding)
        return part.fit_images(flux, photometry, data)

    def _with_optics(self, given: Mapping[str, float | None]) -> DataDescription:
        """The form of the training data, with other optics."""
        known = {self._key(name): value for name, value in given.items() if value is not None}
        for name, value in known.items():
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be positive, got {value}")
        return dataclasses.replace(self.data, attrs=self.data.attrs | known)

    def _key(self, name: str) -> str:
        """The attribute of a data set that describes the images that the encoder sees."""
        return f"{name}_lr" if self.column == "image_lr" else name


def load_encoder(run: str | Path) -> LoadedEncoder:
    """The encoder of a pretraining or fine-tuning run, or of an export.

    It is in evaluation and its weights are frozen.

    Args:
        run: folder of a run; or, as a string, ``latest``: of the last finished pretraining, or
            ``default``: what ships with the package.

    Raises:
        InputError: for a folder without a finished encoder, or damaged files.
    """
    folder = find_encoder(run) if isinstance(run, str) else run
    if (folder / MODEL).is_file():
        task, data = restore(folder)
        seen = EncoderInput(task.stretch, task.lens_fitting, task.binning, task.column)
        encoder = task.encoder
    else:
        encoder = encoder_files.load_encoder(folder)
        assert isinstance(encoder, Encoder)  # no other backbone is pretrained
        about = read_description(folder)
        seen, data = read_input(about, encoder, str(folder / DESCRIPTION))
    return LoadedEncoder(encoder, seen, data, folder).eval().requires_grad_(False)
