"""Convolution with a kernel in Fourier space."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from lensphys.parameters import is_transformed, needs_backward

#: Pixels that are transformed at once on a CPU: their spectrum stays in its cache.
_BLOCK = 1 << 17


def fft_convolve(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve images ``(..., ny, nx)`` with kernels ``(..., ky, kx)`` of odd sizes.

    Zero outside the image; of the shape of the image (``mode="same"`` of scipy's ``fftconvolve``).
    Differentiable in the kernel too; :class:`Spectrum` convolves with one that stays.
    """
    shape = image.shape[-2], image.shape[-1]
    return Spectrum.of(kernel.to(image.device, image.dtype), shape).apply(image)


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Fourier transform of kernels, to convolve images of one shape with.

    Attributes:
        values: of the kernels, ``(..., Ny, Nx // 2 + 1)``.
        size: of the images with a margin, ``(Ny, Nx)``.
        reach: half the size of the kernels, ``(ky // 2, kx // 2)``.
    """

    values: Tensor
    size: tuple[int, int]
    reach: tuple[int, int]

    @classmethod
    def of(cls, kernel: Tensor, shape: tuple[int, int]) -> Spectrum:
        """Transform kernels ``(..., ky, kx)`` for images of this shape."""
        reach = kernel.shape[-2] // 2, kernel.shape[-1] // 2
        # Room for half a kernel: what wraps around falls in the margin that is cut off.
        ny, nx = (
            _fast_length(max(n + half, 2 * half + 1)) for n, half in zip(shape, reach, strict=True)
        )
        return cls(torch.fft.rfft2(kernel, s=(ny, nx)), (ny, nx), reach)

    def take(self, index: Tensor) -> Spectrum:
        """Spectrum of some of the kernels of a batch."""
        return dataclasses.replace(self, values=self.values[index.to(self.values.device)])

    def align(self, ndim: int) -> Spectrum:
        """Spectrum of a batch with axes to go with images of ``ndim`` axes."""
        values = self.values
        if values.ndim < 3 or ndim <= values.ndim:
            return self
        shape = len(values), *[1] * (ndim - values.ndim), *values.shape[-2:]
        return dataclasses.replace(self, values=values.reshape(shape))

    def convolve(self, image: Tensor) -> Tensor:
        """Convolve images ``(..., ny, nx)``, of the shape that the spectrum was made for."""
        if needs_backward(image):
            blurred: Tensor = _Convolution.apply(image, self)
            return blurred
        return self._in_blocks(image, Spectrum.apply)

    def transpose(self, image: Tensor) -> Tensor:
        """Apply the transpose of :meth:`convolve`."""
        return self._in_blocks(image, Spectrum.apply_transposed)

    def apply(self, image: Tensor) -> Tensor:
        """:meth:`convolve` in operations of torch, differentiable in the spectrum too."""
        (y, x), (ny, nx) = self.reach, image.shape[-2:]
        product = torch.fft.rfft2(image, s=self.size) * self.values
        whole: Tensor = torch.fft.irfft2(product, s=self.size)
        return whole[..., y : y + ny, x : x + nx]

    def apply_transposed(self, image: Tensor) -> Tensor:
        """:meth:`transpose` in operations of torch."""
        (y, x), (ny, nx) = self.reach, image.shape[-2:]
        moved = torch.fft.rfft2(pad(image, (x, 0, y, 0)), s=self.size)
        whole: Tensor = torch.fft.irfft2(moved * self.values.conj(), s=self.size)
        return whole[..., :ny, :nx]

    def _in_blocks(self, image: Tensor, apply: Callable[[Spectrum, Tensor], Tensor]) -> Tensor:
        """Apply to few images at a time, if there are many on a CPU."""
        if image.numel() <= _BLOCK or not _is_plain(image):
            return apply(self, image)
        *batch, ny, nx = torch.broadcast_shapes(image.shape, (*self.values.shape[:-2], 1, 1))
        values = self.values.reshape(-1, 1, *self.values.shape[-2:])
        # The first axis is that of the kernels, the second that of the images of each.
        images = image.expand(*batch, ny, nx).reshape(len(values), -1, ny, nx)
        result = torch.empty_like(images)
        along = max(_BLOCK // (ny * nx), 1)
        across = max(_BLOCK // (ny * nx * images.shape[1]), 1)
        for i in range(0, len(images), across):
            some = dataclasses.replace(self, values=values[i : i + across])
            for j in range(0, images.shape[1], along):
                block = slice(i, i + across), slice(j, j + along)
                result[block] = apply(some, images[block])
        return result.view(*batch, ny, nx)


def _is_plain(image: Tensor) -> bool:
    """Tell if an image is on a CPU, in no transform, and not to be differentiated."""
    plain = image.device.type == "cpu" and not is_transformed(image) and not needs_backward(image)
    # A batch of gradients (is_grads_batched) is a tensor without numbers of its own.
    return plain and torch._C._has_storage(image)


class _Convolution(torch.autograd.Function):
    """Convolution with kernels that need no gradient, and its transpose."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, spectrum: Spectrum) -> Tensor:
        ctx.spectrum, ctx.shape = spectrum, image.shape
        return spectrum.convolve(image)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return ctx.spectrum.transpose(g).sum_to_size(ctx.shape), None


def _fast_length(n: int) -> int:
    """Next length from ``n`` on that is a multiple of 4 without prime factors above 7.

    A transform of an odd length takes up to twice as long.
    """
    n += -n % 4
    rest = n
    for factor in (2, 3, 5, 7):
        while rest % factor == 0:
            rest //= factor
    return n if rest == 1 else _fast_length(n + 4)
