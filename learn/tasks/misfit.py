"""Misfit of a lens model by another noise, PSF or light than it has, not by masses it lacks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from learn.lens_fits.channels import CHANNELS, MASKED

#: Number of numbers, see :func:`measure_misfit`.
MISFIT = 2
#: Fractions of the pixels that are seen: those that respond least to a deflection, and those that
#: respond most.
_DARK, _BRIGHT = 0.5, 0.1
#: Quantile of a noise map that is the noise of the sky, and the factor beyond which it is masked.
_SKY, _FAR = 0.05, 100.0
#: Least chi^2 per pixel, that of images without noise.
_LEAST = 1e-9


def measure_misfit(image: Tensor, channels: Tensor) -> Tensor:
    """Two numbers (N, 2) that hardly depend on masses that the model lacks.

    Masses change the residual where light is lensed; noise fills the image. So the first is the
    logarithm of chi^2 per pixel in the darker half of the pixels that are seen, where deflections
    change little. A wider PSF adds the Laplacian of the model to it, as the heat equation has it.
    So the second is the signal-to-noise ratio of the Laplacian in the residual, in units of the
    residual in the brightest tenth, which masses raise.

    Args:
        image: (N, 1, H, W) flux.
        channels: (N, C, H, W) of the lens fits, see :data:`learn.lens_fits.channels.CHANNELS`.
            What is masked does not count, see :func:`find_seen`.
    """
    residual, response, sigma = (
        channels[:, CHANNELS[name]].float() for name in ("residual", "response", "sigma")
    )
    residual, sigma = residual[:, 0], sigma[:, 0]
    seen = find_seen(sigma)
    chi2_dark, chi2_bright = _measure_chi2(residual, response.square().sum(1), seen)
    wider = torch.where(seen, _laplacian(image[:, 0] - residual * sigma) / sigma, 0.0)
    wider = wider.nan_to_num(0.0, 0.0, 0.0)
    strength = wider.square().sum((1, 2)).clamp_min(torch.finfo(wider.dtype).tiny).sqrt()
    # Divided first: squares of residuals of failed fits overflow.
    likeness = (residual * (wider / strength[:, None, None])).sum((1, 2))
    return torch.stack([chi2_dark.log(), likeness / chi2_bright.sqrt()], 1)


def _measure_chi2(residual: Tensor, response: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Chi^2 per pixel (N,) of the darker half and of the brightest tenth of the pixels seen.

    Args:
        residual: (N, H, W) in units of the noise.
        response: (N, H, W), by which pixels are dark or bright.
        seen: (N, H, W) pixels that count.
    """
    # What is not seen does not respond to anything, and would be the darkest: it comes last.
    order = torch.where(seen, response, torch.inf).flatten(1).argsort(1)
    square = torch.where(seen, residual.square(), 0.0).flatten(1).gather(1, order)
    counts = seen.flatten(1).sum(1)
    found = square.new_empty(2, len(square))
    for count in counts.unique().tolist():
        rows = counts == count
        dark, bright = round(_DARK * count), round((1 - _BRIGHT) * count)
        for k, part in enumerate((slice(0, dark), slice(bright, count))):
            some = square[rows][:, part]
            found[k, rows] = some.sum(1) / max(some.shape[1], 1)
    chi2_dark, chi2_bright = found.clamp_min(_LEAST)
    return chi2_dark, chi2_bright


def find_seen(sigma: Tensor) -> Tensor:
    """Tell which pixels of noise maps (N, H, W) are not masked by a noise beyond all others.

    Masked are pixels with the noise :data:`learn.lens_fits.channels.MASKED`, and those whose noise
    is a hundred times that of the sky, which is a quantile of the others. A map of nothing but the
    largest noise shows the failure of its fit, and masks nothing.
    """
    kept = sigma < MASKED
    kept |= ~kept.flatten(1).any(1)[:, None, None]
    sky = sigma.float().masked_fill(~kept, torch.nan).flatten(1).nanquantile(_SKY, 1)
    return kept & (sigma <= _FAR * sky[:, None, None])


def _laplacian(image: Tensor) -> Tensor:
    """Laplacian of images (N, H, W), per square pixel."""
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across = wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
    along = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1]
    return across + along - 4 * image
