"""Companions of one lens, whose pixels are left out of its model."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

import lensphys as lp
from learn.lens_fits import companions
from learn.modelling.lens_data import LensData


def find_companions(result: lp.FitResult, data: LensData) -> NDArray[np.bool_] | None:
    """Find light far from the lens that may belong to companions.

    Args:
        result: of the fit of one lens, that is in doubt.
        data: that was fitted.

    Returns:
        Mask ``(ny, nx)`` of their pixels; None where there are none, or where most of the light
        around the lens would be masked.
    """
    noise = result.residual.new_tensor(data.noise)[None]
    weight = torch.where(noise.isfinite(), 1 / noise, 0.0)
    mask: NDArray[np.bool_] = companions.find_companions(result, weight)[0].cpu().numpy()
    return mask if mask.any() else None


def mask_pixels(data: LensData, mask: NDArray[np.bool_]) -> LensData:
    """The same data without some pixels."""
    image, noise = np.where(mask, 0.0, data.image), np.where(mask, np.inf, data.noise)
    return dataclasses.replace(data, image=image, noise=noise)


def is_better(result: lp.FitResult, before: lp.FitResult, mask: NDArray[np.bool_]) -> bool:
    """True where a model explains the pixels that are left much better than the model before.

    Args:
        result: of the fit without the pixels in ``mask``.
        before: of the fit with them, of the same model.
        mask: pixels ``(ny, nx)`` that were left out.
    """
    left_out = torch.from_numpy(mask).to(before.residual.device)[None]
    first = torch.zeros(1, dtype=torch.long, device=left_out.device)
    return bool(companions.explain_better(result, before, left_out, first)[0])
