"""Round Gaussian point-spread function."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import in_precision
from lensphys.kernels import launch
from lensphys.parameters import Parameter, needs_backward
from lensphys.products import product
from lensphys.psf.base import as_one, freeze_widths, take_settings
from lensphys.psf.pixel_kernels import find_reach, share_pixels
from lensphys.remembering import remember

#: FWHM of a Gaussian in units of its standard deviation.
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))

#: Lengths of a Gaussian kernel that must fit into an image for a loop to convolve it on a CPU;
#: products of matrices are faster for a longer one.
_TAPS = 4


@dataclasses.dataclass(frozen=True)
class GaussianPSF:
    """Round Gaussian point-spread function, sampled at the pixel centres.

    The same discrete kernel as ``scipy.ndimage.gaussian_filter(mode="nearest")``, and so as
    lenstronomy's ``GAUSSIAN`` PSF: cut off at ``truncation`` sigma, rounded to whole pixels, and
    the edge pixels continue outwards.

    Args:
        fwhm: full width at half maximum, arcsec: a number; or a tensor of one, which is read at
            each call and receives gradients.
        pixel_scale: width of a pixel of the images to be blurred, arcsec.
        truncation: radius of the kernel, in standard deviations.
        supersampling: points per pixel and axis that the kernel is averaged over; for a PSF
            narrower than a pixel, whose value at the pixel centre is not its mean.

    Raises:
        ValueError: for a width, pixel scale or truncation that is not positive and finite, or a
            supersampling below 1.
    """

    fwhm: Parameter
    pixel_scale: float
    truncation: float = 5.0
    supersampling: int = 1

    def __post_init__(self) -> None:
        take_settings(self, numbers=("truncation", "pixel_scale"), live=("fwhm",))

    def kernel(self) -> Tensor:
        """The normalised one-dimensional kernel, float64, of odd length."""
        sigma = as_one(self.fwhm) / FWHM_PER_SIGMA / self.pixel_scale * self.supersampling
        radius = int(self.truncation * sigma + 0.5)
        offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offset / sigma) ** 2)
        weights = weights / weights.sum()
        return (share_pixels(len(weights), self.supersampling) * weights).sum(-1)

    @property
    def reach(self) -> int:
        """Pixels over which the light of a point source spreads to either side."""
        sigma = float(self.fwhm) / FWHM_PER_SIGMA / self.pixel_scale * self.supersampling
        return find_reach(2 * int(self.truncation * sigma + 0.5) + 1, self.supersampling)

    def take(self, index: Tensor) -> Self:
        """Return the PSF itself, which is one for all images of a batch."""
        return self

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; flux inside the frame is kept up to the edges."""
        image = in_precision("image", image)
        psf = freeze_widths(self, "fwhm") if isinstance(self.fwhm, Tensor) else self
        if psf is None:
            kernel = self.kernel()
            along_y, along_x = (_make_banded(kernel, n).to(image) for n in image.shape[-2:])
            return product(along_y, product(image, along_x.mT))
        if needs_backward(image):
            blurred: Tensor = _Blur.apply(image, psf)
            return blurred
        return _blur(psf, image)


def _blur(psf: GaussianPSF, image: Tensor, *, transposed: bool = False) -> Tensor:
    """Convolve images, or apply the transpose of that."""
    if launch.is_possible(image) and image.ndim > 1 and image.numel():
        weights = _weights(psf, image.dtype)
        if not needs_backward(image) and _TAPS * len(weights) < min(image.shape[-2:]):
            name = "gaussian_psf.blur_transposed" if transposed else "gaussian_psf.blur"
            return _convolve_in_loop(name, weights, image)
    # Two products with banded matrices: a quarter of the time of a convolution on a CPU, and on a
    # GPU free of the TF32 rounding that convolutions have by default.
    along_y, along_x = (_matrix(psf, n, image.dtype, image.device) for n in image.shape[-2:])
    if transposed:
        return product(along_y.mT, product(image, along_x))
    return product(along_y, product(image, along_x.mT))


class _Blur(torch.autograd.Function):
    """Convolution with a Gaussian kernel, and its transpose."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, psf: GaussianPSF) -> Tensor:
        ctx.psf = psf
        return _blur(psf, image)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return _blur(ctx.psf, g, transposed=True), None


def _convolve_in_loop(name: str, weights: NDArray[np.floating], image: Tensor) -> Tensor:
    """Convolve in one loop over the pixels."""
    images = launch.as_array(image.reshape(-1, *image.shape[-2:]))
    result = torch.empty(images.shape, dtype=image.dtype)
    launch.run(name, (weights,), (images, result.numpy()), images.size)
    return result.view(image.shape)


@remember(32)
def _weights(psf: GaussianPSF, dtype: torch.dtype) -> NDArray[np.floating]:
    with torch.inference_mode(False):
        return psf.kernel().to(dtype).numpy()


@remember(32)
def _matrix(psf: GaussianPSF, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Outside inference mode even when called in it, since the cached matrix outlives the call.
    with torch.inference_mode(False):
        return _make_banded(psf.kernel(), n).to(device, dtype)


def _make_banded(kernel: Tensor, n: int) -> Tensor:
    """Matrix (n, n) that blurs n pixels; those at the edges continue outwards."""
    width = kernel.numel() // 2
    source = torch.arange(n)[:, None] + torch.arange(-width, width + 1)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.scatter_add(1, source.clamp(0, n - 1), kernel.expand(n, -1))
