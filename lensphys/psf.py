"""Point-spread functions: the blur of a telescope."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import in_precision, is_linked, is_traced, take_map, take_numbers
from lensphys.ground.numbers import check_count, is_number
from lensphys.kernels import launch
from lensphys.parameters import Parameter, is_transformed, needs_backward
from lensphys.products import product

#: FWHM of a Gaussian in units of its standard deviation.
FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))

#: Lengths of a Gaussian kernel that must fit into an image for a loop to convolve it on a CPU;
#: products of matrices are faster for a longer one.
_TAPS = 4


class PSF(Protocol):
    """A point-spread function for images of one pixel scale."""

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel of the images that it blurs, arcsec."""

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``.

        A PSF with one kernel for each of ``B`` images blurs those of shape ``(B, ..., ny, nx)``.
        """

    def take(self, index: Tensor) -> PSF:
        """PSF of some images of a batch, by their whole numbers; itself if it is one for all."""


def _take_settings(
    psf: GaussianPSF | MoffatPSF | PixelPSF, *, numbers: tuple[str, ...], live: tuple[str, ...] = ()
) -> None:
    """Check settings of a PSF, and replace those that are no numbers yet.

    A tensor among the ``live`` ones stays: it is read at each call.
    """
    for name in (*live, *numbers):
        value = getattr(psf, name)
        if isinstance(value, Tensor):
            if name not in live and is_linked(value):
                raise ValueError(f"{name} must be a number without gradients, got {value}")
        elif hasattr(value, "__array__"):
            value = take_numbers(name, value, "" if name in ("truncation", "beta") else "arcsec")
        least = 1 if name == "beta" else 0
        if not (is_number(value) and value > least):
            wanted = "finite and above 1" if least else "positive and finite"
            raise ValueError(f"{name} must be {wanted}, got {value}")
        if name not in live or not isinstance(value, Tensor):
            object.__setattr__(psf, name, float(value))
    check_count("supersampling", psf.supersampling)


Round = TypeVar("Round", "GaussianPSF", "MoffatPSF")


def _freeze(psf: Round, *names: str) -> Round | None:
    """Return the PSF with numbers for its widths, by which kernels are kept, as they are now.

    None if gradients by one of them are wanted, which a kernel that is kept does not have.
    """
    live = {name: v for name in names if isinstance(v := getattr(psf, name), Tensor)}
    if not live:
        return psf
    if needs_backward(*live.values()) or is_transformed(*live.values()):
        return None
    fixed: dict[str, Any] = {name: value.item() for name, value in live.items()}
    return dataclasses.replace(psf, **fixed)


def _as_one(value: Parameter) -> Parameter:
    """Return a number as it is, a tensor of one in double precision, on the CPU."""
    return value.to("cpu", torch.float64).reshape(()) if isinstance(value, Tensor) else value


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
        _take_settings(self, numbers=("truncation", "pixel_scale"), live=("fwhm",))

    def kernel(self) -> Tensor:
        """The normalised one-dimensional kernel, float64, of odd length."""
        sigma = _as_one(self.fwhm) / FWHM_PER_SIGMA / self.pixel_scale * self.supersampling
        radius = int(self.truncation * sigma + 0.5)
        offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
        weights = torch.exp(-0.5 * (offset / sigma) ** 2)
        weights = weights / weights.sum()
        return (_share_pixels(len(weights), self.supersampling) * weights).sum(-1)

    def take(self, index: Tensor) -> Self:
        """Return the PSF itself, which is one for all images of a batch."""
        return self

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; flux inside the frame is kept up to the edges."""
        image = in_precision("image", image)
        psf = _freeze(self, "fwhm") if isinstance(self.fwhm, Tensor) else self
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


@functools.lru_cache(maxsize=32)
def _weights(psf: GaussianPSF, dtype: torch.dtype) -> NDArray[np.floating]:
    with torch.inference_mode(False):
        return psf.kernel().to(dtype).numpy()


@functools.lru_cache(maxsize=32)
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
        _take_settings(self, numbers=("truncation", "pixel_scale"), live=("fwhm", "beta"))

    def kernel(self) -> Tensor:
        """The normalised kernel ``(n, n)``, float64, of odd size."""
        fwhm, beta = _as_one(self.fwhm), _as_one(self.beta)
        fwhm = fwhm / self.pixel_scale * self.supersampling
        radius = int(self.truncation * fwhm + 0.5)
        ratio2 = 2 ** (1 / beta) - 1
        alpha = fwhm / (2 * (ratio2.sqrt() if isinstance(ratio2, Tensor) else math.sqrt(ratio2)))
        offset2 = (torch.arange(-radius, radius + 1, dtype=torch.float64) / alpha) ** 2
        weights = (1 + offset2[:, None] + offset2) ** -beta
        return degrade(weights / weights.sum(), self.supersampling)

    def take(self, index: Tensor) -> Self:
        """Return the PSF itself, which is one for all images of a batch."""
        return self

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; light that leaves the frame is lost."""
        image = in_precision("image", image)
        if (fixed := _freeze(self, "fwhm", "beta")) is None:
            return fft_convolve(image, self.kernel())
        return fft_convolve(image, _moffat(fixed, image.dtype, image.device))


@functools.lru_cache(maxsize=32)
def _moffat(psf: MoffatPSF, dtype: torch.dtype, device: torch.device) -> Tensor:
    # Outside inference mode even when called in it, since what is cached outlives the call.
    with torch.inference_mode(False):
        return psf.kernel().to(device, dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class PixelPSF:
    """Point-spread function given by its pixels, such as a star or a model of the instrument.

    Outside the frame of an image there is no light, as in lenstronomy's ``PIXEL`` PSF (and unlike
    its ``GAUSSIAN``).

    Args:
        kernel: the light of a point source in pixels, a tensor or an array of shape ``(ky, kx)``,
            both odd, with the point source in the central pixel; or ``(B, ky, kx)``, one for each
            image of a batch. It is copied, unless it requires gradients: images are differentiable
            in it.
        pixel_scale: width of a pixel of the images to be blurred, arcsec.
        supersampling: number of pixels of ``kernel`` along a side of a pixel of the images; the
            kernel is summed into the wider pixels. To blur a finer grid with it, leave this at 1
            and give the width of the finer pixels as ``pixel_scale``; see
            :func:`lensphys.render`.
        normalise: divide the kernel by its sum. Otherwise the sum must be 1 (to 1e-3).

    Raises:
        ValueError: for a kernel of another shape, of an even size, with values that are not finite
            or whose sum is not 1 (with ``normalise``: not positive), a pixel scale that is not
            positive and finite, or a supersampling below 1.
    """

    kernel: Tensor | NDArray[np.floating]
    pixel_scale: float
    supersampling: int = 1
    normalise: bool = False

    def __post_init__(self) -> None:
        _take_settings(self, numbers=("pixel_scale",))
        kernel = take_map("kernel", self.kernel)
        shape = tuple(kernel.shape)
        if kernel.ndim not in (2, 3) or not kernel.numel() or not all(n % 2 for n in shape[-2:]):
            raise ValueError(f"kernel must be (ky, kx) or (B, ky, kx) with odd sizes, got {shape}")
        if not is_traced(kernel):
            for total in kernel.detach().double().sum((-2, -1)).reshape(-1).tolist():
                self._check_sum(total)
        object.__setattr__(self, "kernel", kernel)

    def _check_sum(self, total: float) -> None:
        if not math.isfinite(total):
            raise ValueError("kernel must be finite in every pixel")
        if self.normalise and total <= 0:
            raise ValueError(f"kernel must have a positive sum, got {total:g}")
        if not self.normalise and abs(total - 1) > 1e-3:
            raise ValueError(f"kernel must sum to 1 or be given normalise=True, got {total:g}")

    def take(self, index: Tensor) -> Self:
        """PSF of some images of a batch, by their whole numbers ``(b,)``.

        Itself if it has one kernel, ``(ky, kx)`` or ``(1, ky, kx)``, for all images.
        """
        kernel = torch.as_tensor(self.kernel)
        if kernel.ndim == 2 or len(kernel) == 1:
            return self
        taken = copy.copy(self)  # without the checks, which all kernels have passed
        object.__setattr__(taken, "kernel", kernel[index.to(kernel.device)])
        return taken

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; light that leaves the frame is lost.

        ``B`` kernels blur images of shape ``(B, ..., ny, nx)``, of which one, or ``(ny, nx)``, is
        blurred by each.

        Raises:
            ValueError: for images of another number than there are kernels.
        """
        image = in_precision("image", image)
        kernel = torch.as_tensor(self.kernel).to(image.device, image.dtype)
        if self.normalise:
            kernel = kernel / kernel.sum((-2, -1), keepdim=True)
        return fft_convolve(image, degrade(_align_kernels(kernel, image), self.supersampling))


def _align_kernels(kernel: Tensor, image: Tensor) -> Tensor:
    """Return kernels with as many axes between the first and the last two as the images have."""
    if kernel.ndim == 2 or image.ndim == 2:
        return kernel
    number = len(kernel)
    if number != 1 and len(image) not in (1, number):
        raise ValueError(
            f"image must be ({number}, ..., ny, nx), one for each kernel of the PSF, "
            f"got {tuple(image.shape)}"
        )
    return kernel.reshape(number, *[1] * (image.ndim - 3), *kernel.shape[-2:])


def degrade(kernel: Tensor, factor: int) -> Tensor:
    """Sum kernels ``(..., ky, kx)`` of odd sizes into pixels that are ``factor`` times wider.

    Both are centred on a pixel; a fine pixel on the border of two wide ones is shared out.
    """
    along_y, along_x = (
        _share_pixels(n, factor).to(kernel.device, kernel.dtype) for n in kernel.shape[-2:]
    )
    return product(product(along_y, kernel), along_x.mT)


def _share_pixels(n: int, factor: int) -> Tensor:
    """Share (m, n) of each of n fine pixels in each of m pixels ``factor`` times wider."""
    half = n // 2
    wide = -(-(2 * half + 1 - factor) // (2 * factor)) if n > factor else 0
    # In units of half a fine pixel all borders are whole numbers.
    fine = 2 * torch.arange(-half, half + 1)
    coarse = 2 * factor * torch.arange(-wide, wide + 1)[:, None]
    right = torch.minimum(fine + 1, coarse + factor)
    left = torch.maximum(fine - 1, coarse - factor)
    return 0.5 * (right - left).clamp_min(0).double()


def fft_convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve images ``(..., ny, nx)`` with kernels ``(..., ky, kx)`` of odd sizes.

    Zero outside the image; of the shape of the image (``mode="same"`` of scipy's ``fftconvolve``).
    """
    (ny, nx), (ky, kx) = image.shape[-2:], kernel.shape[-2:]
    # Room for half a kernel: what wraps around falls in the margin that is cut off.
    size = [_fast_length(max(n + k // 2, k)) for n, k in ((ny, ky), (nx, kx))]
    spectrum = torch.fft.rfft2(kernel.to(image.device, image.dtype), s=size)
    full: Tensor = torch.fft.irfft2(torch.fft.rfft2(image, s=size) * spectrum, s=size)
    return full[..., ky // 2 : ky // 2 + ny, kx // 2 : kx // 2 + nx]


def _fast_length(n: int) -> int:
    """Next length from ``n`` on without prime factors above 5."""
    rest = n
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    return n if rest == 1 else _fast_length(n + 1)
