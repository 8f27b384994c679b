"""Companions of a lens: light beside its arcs that a model has taken for an image of the source."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from learn.modelling.lens_data import LensData
from lensphys.fitting.linear.light_start import box

#: Significance of nine pixels together from which light counts.
_SEEN = 4.0
#: Distance from the lens, in Einstein radii of the model in doubt, from which light may be that of
#: a companion.
_BEYOND = 1.3
#: Part of the light beside the lens that may be masked, at most: a lens has arcs.
_MOST = 0.5
#: Gain in log evidence, of the pixels that are left, by which a model without a companion has to
#: explain an image better.
_GAIN = 50.0


def find_companions(result: lp.FitResult, data: LensData) -> NDArray[np.bool_] | None:
    """Find light far from the lens that may belong to companions.

    Args:
        result: of the fit of one lens, that is in doubt.
        data: that was fitted.

    Returns:
        Mask ``(ny, nx)`` of their pixels; None where there are none, or where most of the light
        around the lens would be masked.
    """
    weight = _weigh(data, result.residual)
    parts = result.parts()
    light = result.residual.new_tensor(data.image)[None] - parts["lens_light"] - parts["sky"]
    p = {name: float(result.params[name]) for name in ("center_x", "center_y", "theta_E")}
    x, y = lp.pixel_grid(data.image.shape, data.pixel_scale, dtype=light.dtype)
    radius = torch.hypot(x - p["center_x"], y - p["center_y"]).to(light.device)
    # Means of nine pixels have a third of the noise.
    bright = (3 * box(light * weight) > _SEEN) & (weight > 0)
    far = bright & (radius > _BEYOND * p["theta_E"])
    flux = torch.where(bright, light, 0.0).clamp_min(0)
    masked, total = float(flux[far].sum()), float(flux.sum())
    if not 0 < masked < _MOST * total:
        return None
    mask: NDArray[np.bool_] = (box(box(far.to(light))) > 0)[0].cpu().numpy()
    return mask


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
    weight, residual = (
        maps.detach()[0].double() for maps in (before.problem.weight, before.residual)
    )
    left_out = torch.from_numpy(mask).to(weight.device) & (weight > 0)
    own = weight[left_out].log() - 0.5 * residual[left_out].square() - 0.5 * math.log(2 * math.pi)
    return float(result.evidence - (before.evidence - own.sum())) > _GAIN


def _weigh(data: LensData, like: Tensor) -> Tensor:
    noise = like.new_tensor(data.noise)[None]
    return torch.where(noise.isfinite(), 1 / noise, 0.0)
