"""Round Moffat point-spread function."""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import torch
from torch import Tensor

from lensphys.arrays import in_precision
from lensphys.parameters import Parameter
from lensphys.psf.base import as_one, freeze_widths, take_settings
from lensphys.psf.convolution import Spectrum, fft_convolve
from lensphys.psf.pixel_kernels import degrade, find_reach
from lensphys.remembering import remember


@dataclasses.dataclass(frozen=True)
class MoffatPSF:
    """Round Moffat point-spread function, ``(1 + (r / alpha)^2)^-beta``: a core with wings.

    Moffat 1969 (A&A 3, 455), eq. 7; ``alpha`` follows from the width. Sampled at the pixel centres
    of a square and normalised to 1 there; outside the frame of an image there is no light.

    Args:
        fwhm: full width at half maximum, arcsec: a number; or a tensor of one, which is read at
            each call and receives gradients.
        beta: slope of the wings, above 1, given likewise; about 2.5 to 4.8 for the atmosphere.
        pixel_scale: width of a pixel of the images to be blurred, arcsec.
        truncation: half the width of the kernel, in units of the FWHM.
        supersampling: points per pixel and axis that the kernel is averaged over.

    Raises:
        ValueError: for a width, pixel scale or truncation that is not positive and finite, a slope
            of infinite flux, or a supersampling below 1.
    """

    fwhm: Parameter
    beta: Parameter
    pixel_scale: float
    truncation: float = 5.0
    supersampling: int = 1

    def __post_init__(self) -> None:
        take_settings(self, numbers=("truncation", "pixel_scale"), live=("fwhm", "beta"))

    def kernel(self) -> Tensor:
        """The normalised kernel ``(n, n)``, float64, of odd size."""
        fwhm, beta = as_one(self.fwhm), as_one(self.beta)
        fwhm = fwhm / self.pixel_scale * self.supersampling
        radius = int(self.truncation * fwhm + 0.5)
        ratio2 = 2 ** (1 / beta) - 1
        alpha = fwhm / (2 * (ratio2.sqrt() if isinstance(ratio2, Tensor) else math.sqrt(ratio2)))
        offset2 = (torch.arange(-radius, radius + 1, dtype=torch.float64) / alpha) ** 2
        weights = (1 + offset2[:, None] + offset2) ** -beta
        return degrade(weights / weights.sum(), self.supersampling)

    @property
    def reach(self) -> int:
        """Pixels over which the light of a point source spreads to either side."""
        radius = int(
            self.truncation * float(self.fwhm) / self.pixel_scale * self.supersampling + 0.5
        )
        return find_reach(2 * radius + 1, self.supersampling)

    def take(self, index: Tensor) -> Self:
        """Return the PSF itself, which is one for all images of a batch."""
        return self

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; light that leaves the frame is lost."""
        image = in_precision("image", image)
        if (fixed := freeze_widths(self, "fwhm", "beta")) is None:
            return fft_convolve(image, self.kernel())
        shape = image.shape[-2], image.shape[-1]
        return _moffat(fixed, shape, image.dtype, image.device).convolve(image)


@remember(32)
def _moffat(
    psf: MoffatPSF, shape: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> Spectrum:
    # Outside inference mode even when called in it, since what is cached outlives the call.
    with torch.inference_mode(False), torch.no_grad():
        return Spectrum.of(psf.kernel().to(device, dtype), shape)
