"""Images and noise of a caller, checked: what a fit takes as data."""

from __future__ import annotations

import torch
from torch import Tensor

from lensphys.arrays import in_precision, take_numbers
from lensphys.parameters import Parameter


def check_images(images: Tensor, sigma: Parameter, parameters: int) -> tuple[Tensor, Tensor]:
    """Return images ``(B, ny, nx)``, and ``1 / sigma`` of every pixel, 0 where it is masked.

    Args:
        images: ``(B, ny, nx)`` or ``(ny, nx)``.
        sigma: a number, ``(B,)``, or maps like ``images``; infinite where a pixel is masked.
        parameters: number of parameters to be fitted, fewer than the pixels of every image.

    Raises:
        ValueError: for wrong shapes, noise that is not positive, values that are not finite where
            the noise is, and too few pixels that are not masked.
    """
    images = in_precision("images", images)
    if images.ndim not in (2, 3) or not images.numel():
        raise ValueError(f"images must be (B, ny, nx) or (ny, nx), got {tuple(images.shape)}")
    images = images.reshape(-1, *images.shape[-2:])
    number, *size = images.shape
    sigma = torch.as_tensor(take_numbers("sigma", sigma), dtype=images.dtype, device=images.device)
    if tuple(sigma.shape) not in {(), (1,), (number,), (*size,), (1, *size), (number, *size)}:
        raise ValueError(
            f"sigma must be a number, ({number},) or a map of shape {tuple(images.shape)}, "
            f"got {tuple(sigma.shape)}"
        )
    sigma = (sigma[:, None, None] if sigma.ndim == 1 else sigma).expand(images.shape)
    broken = int((~torch.isfinite(images) & torch.isfinite(sigma)).sum())
    if broken:
        raise ValueError(
            f"images hold {broken} pixels that are not finite; mask them by an infinite sigma"
        )
    if not bool((sigma > 0).all()):
        raise ValueError("sigma must be positive (infinite where a pixel is masked)")
    masked = torch.isinf(sigma)
    fewest = int((~masked).sum((-2, -1)).min())
    if fewest <= parameters:
        raise ValueError(
            f"an image has {fewest} pixels that are not masked, too few for {parameters} parameters"
        )
    # A masked pixel may hold anything: 0 times it must be 0.
    return torch.where(masked, 0.0, images), torch.where(masked, 0.0, 1 / sigma)
