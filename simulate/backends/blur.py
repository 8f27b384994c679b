"""A PSF of each image: wider or narrower than that of the instrument, and elliptical."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from lensphys.instruments import Instrument
from lensphys.psf.gaussian import FWHM_PER_SIGMA


def kernels(camera: Instrument, width: Tensor, e1: Tensor, e2: Tensor, *, widest: float) -> Tensor:
    """Kernels (B, k, k) of sum 1, sampled at the middle of pixels as that of the instrument is.

    Args:
        camera: its PSF is a Gaussian, or a Moffat where it has a slope of the wings.
        width: (B,) circularised FWHM over that of the instrument.
        e1, e2: (B,) ellipticity of the PSF.
        widest: width that kernels have room for, of all images and not of these alone: the image
            of a scene shall not depend on its batch.
    """
    fwhm = camera.psf_fwhm / camera.pixel_scale
    of_gaussian = camera.psf_beta is None
    reach = camera.psf_truncation * (fwhm / FWHM_PER_SIGMA if of_gaussian else fwhm)
    radius = int(reach * widest + 0.5)
    axis = torch.arange(-radius, radius + 1, dtype=torch.float64)
    e1, e2, scale = (v.double()[:, None, None] for v in (e1, e2, width * fwhm))
    x, y = axis, axis[:, None]
    u, v = (1 - e1) * x - e2 * y, (1 + e1) * y - e2 * x
    radius2 = (u * u + v * v) / (1 - e1 * e1 - e2 * e2)
    if of_gaussian:
        weights = torch.exp(-0.5 * radius2 * (FWHM_PER_SIGMA / scale) ** 2)
    else:
        beta = camera.psf_beta
        assert beta is not None
        weights = (1 + 4 * (2 ** (1 / beta) - 1) * radius2 / scale**2) ** -beta
    kernel: Tensor = weights / weights.sum((-2, -1), keepdim=True)
    return kernel


def blur(images: Tensor, kernel: Tensor) -> Tensor:
    """Images (B, ny, nx) convolved with a kernel each; the edge pixels continue outwards.

    As the Gaussian PSF of an instrument does, :class:`lensphys.GaussianPSF`.
    """
    radius = kernel.shape[-1] // 2
    wide = pad(images[None], (radius,) * 4, mode="replicate")
    # Kernels are symmetric about the middle: correlation is convolution. Without the TF32 rounding
    # that convolutions on a GPU have by default.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        blurred: Tensor = conv2d(wide, kernel.to(images)[:, None], groups=len(images))[0]
    return blurred
