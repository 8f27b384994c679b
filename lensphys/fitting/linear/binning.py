"""Images of wider pixels, on which a search is faster."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from lensphys.rendering import Pixels

#: Most pixels a side of images that the search does not bin.
_FINEST = 101


def bin_images(images: Tensor, weight: Tensor, pixels: Pixels) -> tuple[Tensor, Tensor, Pixels]:
    """Sum the pixels of large images into wider ones; a wide one is masked if any part of it is.

    Args:
        images, weight: ``(B, ny, nx)``.
        pixels: of the images; their PSF is sampled anew, if it is one of ours.
    """
    psf: Any = pixels.psf
    factor = -(-min(pixels.shape) // _FINEST)
    x, y = pixels.centers
    ours = dataclasses.is_dataclass(psf) and hasattr(psf, "supersampling")
    if factor > 1 and (psf is None or ours):
        ny, nx = (n // factor * factor for n in pixels.shape)
        scale = factor * factor

        def mean(maps: Tensor) -> Tensor:
            return torch.nn.functional.avg_pool2d(maps[..., :ny, :nx], factor)

        masked = mean((weight == 0).to(weight)) > 0
        variance = scale * mean(torch.where(weight > 0, weight, 1.0).square().reciprocal())
        weight = torch.where(masked, 0.0, variance.rsqrt())
        images = scale * mean(images)
        x, y = (mean(v[None])[0] for v in (x, y))
    else:
        factor = 1
    ratio = 1 if psf is None else round(factor * pixels.pixel_scale / psf.pixel_scale)
    if ratio > 1 and ours:
        finer = ratio * psf.supersampling
        psf = dataclasses.replace(psf, pixel_scale=ratio * psf.pixel_scale, supersampling=finer)
    elif ratio > 1:
        psf = None  # one for finer pixels that is not ours is left out of the search
    return images, weight, Pixels(x, y, psf=psf)
