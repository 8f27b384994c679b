"""A batch of lens images with their labels and their optics."""

from __future__ import annotations

import dataclasses
import math
from typing import Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.ground.errors import InputError
from simulate.observe import NOISELESS
from simulate.shards import DataSet

Params: TypeAlias = dict[str, Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Optics:
    """Pixels, PSF and noise of a batch of B images, as far as they are known.

    Attributes:
        pixel_scale: width of a pixel, arcsec.
        psf_fwhm: (B,) full width at half maximum of a Gaussian PSF, arcsec; NaN where it is not
            known or is no Gaussian.
        background_sigma: (B,) standard deviation of the uncorrelated Gaussian noise of dark pixels,
            in the unit of the images; NaN where it is not known, 0 for images without noise.

    Raises:
        InputError: for a pixel scale that is not positive and finite.
    """

    pixel_scale: float
    psf_fwhm: Tensor
    background_sigma: Tensor

    def __post_init__(self) -> None:
        if not 0 < self.pixel_scale < math.inf:
            raise InputError(f"pixel_scale must be positive and finite, got {self.pixel_scale}")


@dataclasses.dataclass(frozen=True, eq=False)
class LensBatch:
    """Images of B lenses with their labels, all on one device.

    Attributes:
        image: (B, 1, H, W) flux per pixel.
        params: (B,) columns under the names of a data set; NaN where one does not apply.
        optics: of ``image``.
        image_lr: (B, 1, h, w) the same field at lower resolution, or None.
        optics_lr: of ``image_lr``.
        alpha_scale: factor on all deflections, an attribute of the data set.

    Raises:
        InputError: for arrays of other shapes, and ``image_lr`` without ``optics_lr`` or the other
            way round.
    """

    image: Tensor
    params: Params
    optics: Optics
    image_lr: Tensor | None = None
    optics_lr: Optics | None = None
    alpha_scale: float = 1.0

    def __post_init__(self) -> None:
        if (self.image_lr is None) != (self.optics_lr is None):
            raise InputError("image_lr and optics_lr go together: give both or neither")
        images = {"image": self.image}
        columns = self.params | _columns("optics", self.optics)
        if self.image_lr is not None and self.optics_lr is not None:
            images["image_lr"] = self.image_lr
            columns |= _columns("optics_lr", self.optics_lr)
        count = len(self.image)
        for name, stack in images.items():
            wanted = stack.ndim == 4 and stack.shape[:2] == (count, 1) and stack.numel() > 0
            if not (wanted and stack.is_floating_point()):
                raise InputError(
                    f"{name} must be floating-point and of shape ({count}, 1, H, W), got "
                    f"{stack.dtype} {tuple(stack.shape)}"
                )
        for name, values in columns.items():
            if values.shape != (count,):
                raise InputError(
                    f"{name} must have one value for each of {count} images, got shape "
                    f"{tuple(values.shape)}"
                )

    @classmethod
    def of(
        cls,
        data: DataSet,
        indices: NDArray[np.int64] | slice = slice(None),
        device: torch.device | str = "cpu",
    ) -> Self:
        """Images of a data set by their indices; the optics are those in its attributes.

        The noise of images in counts, where shot noise is drawn twice, is taken as unknown, and so
        is that of drizzled images, which is correlated.
        """
        attrs = data.attrs
        image = torch.from_numpy(data.image[indices]).to(device)
        params = {
            name: torch.from_numpy(values[indices]).to(device)
            for name, values in data.params.items()
        }

        def optics(suffix: str) -> Optics:
            sigma = math.nan
            if data.config.get("observation") in NOISELESS:
                sigma = 0.0
            elif attrs.get("unit") == "e-/s" and data.config.get("observation") != "drizzled":
                sigma = float(attrs.get(f"background_sigma{suffix}", math.nan))
            # A Moffat PSF that is blurred with a Gaussian has no width that could be computed.
            known = "psf_beta" not in attrs
            fwhm = float(attrs.get(f"psf_fwhm{suffix}", math.nan)) if known else math.nan
            columns = (image.new_full((len(image),), v, dtype=torch.float64) for v in (fwhm, sigma))
            return Optics(float(attrs[f"pixel_scale{suffix}"]), *columns)

        low = None if data.image_lr is None else torch.from_numpy(data.image_lr[indices]).to(device)
        return cls(
            image,
            params,
            optics(""),
            low,
            None if low is None else optics("_lr"),
            float(attrs.get("alpha_scale", 1.0)),
        )


def _columns(name: str, optics: Optics) -> dict[str, Tensor]:
    return {
        f"{name}.psf_fwhm": optics.psf_fwhm,
        f"{name}.background_sigma": optics.background_sigma,
    }
