"""Point-spread function given by its pixels."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import in_precision, is_traced, take_map
from lensphys.parameters import is_transformed, needs_backward
from lensphys.psf.base import take_settings
from lensphys.psf.convolution import Spectrum
from lensphys.psf.pixel_kernels import check_light, degrade, find_reach

#: Shapes and precisions of images for which a spectrum is kept.
_MOST = 8


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
    #: The kernels that these were taken from, and their places there.
    _whole: tuple[PixelPSF, Tensor] | None = dataclasses.field(default=None, init=False, repr=False)
    #: Kernels and their spectra, by shape, precision and device of images.
    _kept: dict[Any, tuple[Tensor, Spectrum]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        take_settings(self, numbers=("pixel_scale",))
        kernel = take_map("kernel", self.kernel)
        shape = tuple(kernel.shape)
        if kernel.ndim not in (2, 3) or not kernel.numel() or not all(n % 2 for n in shape[-2:]):
            raise ValueError(
                f"kernel must be (ky, kx) or (B, ky, kx) with odd sizes, got {shape}; "
                "centre_kernel pads those of even sizes"
            )
        if not is_traced(kernel):
            for total in check_light(kernel):
                if not self.normalise and abs(total - 1) > 1e-3:
                    raise ValueError(
                        f"kernel must sum to 1 or be given normalise=True, got {total:g}"
                    )
        object.__setattr__(self, "kernel", kernel)

    @property
    def reach(self) -> int:
        """Pixels over which the light of a point source spreads to either side."""
        most = max(torch.as_tensor(self.kernel).shape[-2:])
        return find_reach(most, self.supersampling)

    def take(self, index: Tensor) -> Self:
        """PSF of some images of a batch, by their whole numbers ``(b,)``.

        Itself if it has one kernel, ``(ky, kx)`` or ``(1, ky, kx)``, for all images.
        """
        kernel = torch.as_tensor(self.kernel)
        if kernel.ndim == 2 or len(kernel) == 1:
            return self
        index = index.to(kernel.device)
        taken = copy.copy(self)  # without the checks, which all kernels have passed
        whole, place = self._whole or (self, torch.arange(len(kernel), device=kernel.device))
        changed = {"kernel": kernel[index], "_whole": (whole, place[index]), "_kept": {}}
        for name, value in changed.items():
            object.__setattr__(taken, name, value)
        return taken

    def convolve(self, image: Tensor) -> Tensor:
        """Blur images of shape ``(..., ny, nx)``; light that leaves the frame is lost.

        ``B`` kernels blur images of shape ``(B, ..., ny, nx)``, of which one, or ``(ny, nx)``, is
        blurred by each.

        Raises:
            ValueError: for images of another number than there are kernels.
        """
        image = in_precision("image", image)
        kernel = torch.as_tensor(self.kernel)
        number = len(kernel) if kernel.ndim > 2 else 1
        if number > 1 and image.ndim > 2 and len(image) not in (1, number):
            raise ValueError(
                f"image must be ({number}, ..., ny, nx), one for each kernel of the PSF, "
                f"got {tuple(image.shape)}"
            )
        if needs_backward(kernel) or is_traced(kernel) or is_transformed(kernel, image):
            spectrum = Spectrum.of(self._pixels(image), (image.shape[-2], image.shape[-1]))
            return spectrum.align(image.ndim).apply(image)
        return self._spectrum(image).align(image.ndim).convolve(image)

    def _pixels(self, image: Tensor) -> Tensor:
        """Kernels of the pixels of an image, of sum 1, in its precision and on its device."""
        kernel = torch.as_tensor(self.kernel).to(image.device, image.dtype)
        if self.normalise:
            kernel = kernel / kernel.sum((-2, -1), keepdim=True)
        return degrade(kernel, self.supersampling)

    def _spectrum(self, image: Tensor) -> Spectrum:
        """Spectrum of the kernels as they are now, kept from an earlier call if they were so."""
        kernel = torch.as_tensor(self.kernel).detach()
        if self._whole is not None:
            whole, place = self._whole
            if torch.equal(torch.as_tensor(whole.kernel).detach()[place], kernel):
                return whole._spectrum(image).take(place)
        shape = image.shape[-2], image.shape[-1]
        key = (shape, image.dtype, image.device)
        before, spectrum = self._kept.get(key, (None, None))
        if before is None or spectrum is None or not torch.equal(before, kernel):
            # Outside inference mode even when called in it, since it outlives the call.
            with torch.inference_mode(False), torch.no_grad():
                spectrum = Spectrum.of(self._pixels(image), shape)
                if len(self._kept) >= _MOST:
                    self._kept.clear()
                self._kept[key] = kernel.clone(), spectrum
        return spectrum
