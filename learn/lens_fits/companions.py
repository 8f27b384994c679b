"""Companions of lenses: light beside the arcs that a model has taken for an image of the source."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

import lensphys as lp
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


def find_companions(result: lp.FitResult, weight: Tensor, most: float = 1.0) -> Tensor:
    """Find light far from lenses that may belong to companions.

    Args:
        result: of fits with linear amplitudes that are in doubt.
        weight: one over the noise, ``(B, ny, nx)``; 0 where a pixel is masked.
        most: part of the pixels of an image that a patch of such light may cover: arcs are larger
            than companions.

    Returns:
        Mask ``(B, ny, nx)`` of their pixels; none where most of the light around a lens would be
        masked.
    """
    problem, parts = result.problem, result.parts()
    light = problem.images - parts["lens_light"] - parts["sky"]
    p = {name: result.params[name][:, None, None] for name in ("center_x", "center_y", "theta_E")}
    x, y = problem.pixels.centers
    radius = torch.hypot(x - p["center_x"], y - p["center_y"])
    # Means of nine pixels have a third of the noise.
    bright = (3 * box(light * weight) > _SEEN) & (weight > 0)
    far = bright & (radius > _BEYOND * p["theta_E"])
    far = _drop_large(far, most)
    flux = torch.where(bright, light, 0.0).clamp_min(0)
    masked, total = (flux * far).sum((-2, -1)), flux.sum((-2, -1))
    some = (masked > 0) & (masked < _MOST * total)
    return (box(box(far.to(light))) > 0) & some[:, None, None]


def explain_better(
    result: lp.FitResult, before: lp.FitResult, mask: Tensor, rows: Tensor
) -> Tensor:
    """Tell which models explain the pixels that are left much better than those before.

    Args:
        result: of fits of some of the images without the pixels in ``mask``.
        before: of fits of ``B`` images with them, of the same model and noise.
        mask: pixels ``(B, ny, nx)`` that were left out.
        rows: indices of the images that ``result`` is of.

    Returns:
        One truth value for each of these.
    """
    maps = before.problem.weight, before.residual
    weight, residual = (values.detach()[rows].double() for values in maps)
    left_out = mask[rows] & (weight > 0)
    own = weight.log() - 0.5 * residual.square() - 0.5 * math.log(2 * math.pi)
    own = torch.where(left_out, own, 0.0).sum((-2, -1))
    better: Tensor = result.evidence - (before.evidence[rows] - own) > _GAIN
    return better


def _drop_large(masks: Tensor, most: float) -> Tensor:
    """Masks (B, ny, nx) without the connected patches that cover more than part of the pixels."""
    patches = np.zeros(masks.shape, bool)
    for kept, mask in zip(patches, masks.cpu().numpy(), strict=True):
        labels, _ = ndimage.label(mask)
        kept[:] = mask & (np.bincount(labels.ravel()) <= most * mask.size)[labels]
    return torch.from_numpy(patches).to(masks.device)
