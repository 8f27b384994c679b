"""What the telescope does to light: point-spread function and noise."""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from lensphys.parameters import Parameter, align

#: FWHM of a Gaussian in units of its standard deviation.
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


@dataclasses.dataclass(frozen=True)
class GaussianPSF:
    """Round Gaussian point-spread function, sampled at the pixel centres.

    The same discrete kernel as ``scipy.ndimage.gaussian_filter(mode="nearest")``, and so as
    lenstronomy's ``GAUSSIAN`` PSF: cut off at ``truncation`` sigma, rounded to whole pixels, and
    the edge pixels continue outwards.

    Args:
        fwhm: full width at half maximum, arcsec.
        pixel_scale: width of a pixel of the images to be blurred, arcsec.
        truncation: radius of the kernel, in standard deviations.

    Raises:
        ValueError: for a width, pixel scale or truncation that is not positive and finite.
    """

    fwhm: float
    pixel_scale: float
    truncation: float = 5.0

    def __post_init__(self) -> None:
        for name in ("fwhm", "pixel_scale", "truncation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")

    def kernel(self) -> Tensor:
        """The normalised one-dimensional kernel, float64, of odd length."""
        sigma = self.fwhm / FWHM_PER_SIGMA / self.pixel_scale
        radius = int(self.truncation * sigma + 0.5)
        offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offset / sigma) ** 2)
        return weights / weights.sum()

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; flux inside the frame is kept up to the edges."""
        # Two products with banded matrices: a quarter of the time of a convolution on a CPU, and
        # on a GPU free of the TF32 rounding that convolutions have by default.
        along_y, along_x = (_banded(self, n, image.dtype, image.device) for n in image.shape[-2:])
        return along_y @ (image @ along_x.mT)


@functools.lru_cache(maxsize=32)
def _banded(psf: GaussianPSF, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix (n, n) that blurs n pixels; what falls off the edge comes from the edge."""
    # Outside inference mode even when called in it, since the cached matrix outlives the call.
    with torch.inference_mode(False):
        kernel = psf.kernel()
        width = kernel.numel() // 2
        source = torch.arange(n)[:, None] + torch.arange(-width, width + 1)
        matrix = torch.zeros(n, n, dtype=torch.float64)
        matrix.scatter_add_(1, source.clamp(0, n - 1), kernel.expand(n, -1))
        return matrix.to(device, dtype)


def background_sigma(
    *,
    read_noise: float,
    sky_brightness: float,
    magnitude_zero_point: float,
    exposure_time: float,
    num_exposures: int,
    pixel_scale: float,
) -> float:
    """Standard deviation of read-out and sky noise in one pixel, e-/s.

    ``sqrt(N read_noise^2 + T sky_cps pixel_area) / T`` with ``T = N exposure_time``.

    Args:
        read_noise: e- per read-out.
        sky_brightness: AB magnitude per arcsec^2.
        magnitude_zero_point: AB magnitude of 1 e-/s.
        exposure_time: of one exposure, s.
        num_exposures: number ``N`` of exposures.
        pixel_scale: arcsec.
    """
    total_time = exposure_time * num_exposures
    sky = 10 ** (-0.4 * (sky_brightness - magnitude_zero_point)) * pixel_scale**2
    return math.sqrt(num_exposures * read_noise**2 + total_time * sky) / total_time


@dataclasses.dataclass(frozen=True)
class Noise:
    """Gaussian background and Poisson shot noise of an image in e-/s.

    Args:
        background_sigma: standard deviation of the background, e-/s; a number or ``(B,)``.
        exposure_time: total exposure time, s; a number or ``(B,)``.
    """

    background_sigma: Parameter
    exposure_time: Parameter

    def sigma(self, image: Tensor) -> Tensor:
        """Standard deviation of every pixel, e-/s, of a noise-free image of the same unit."""
        shot = image.clamp_min(0) / align(self.exposure_time, image)
        return torch.sqrt(align(self.background_sigma, image) ** 2 + shot)

    def add(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """A noisy realisation: Poisson counts of the electrons, plus a Gaussian background."""
        time = align(self.exposure_time, image)
        counts = torch.poisson((image * time).clamp_min(0), generator=generator)
        normal = torch.randn(
            image.shape, generator=generator, dtype=image.dtype, device=image.device
        )
        return counts / time + normal * align(self.background_sigma, image)
