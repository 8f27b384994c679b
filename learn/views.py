"""Random views of an image that are physically exact."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simulate.augment import LensBatch, Optics, Params, Symmetry, turned


def random_d4(*images: Tensor) -> tuple[Tensor, ...]:
    """Turn and flip each image at random, one of the eight symmetries of the square.

    Gravity has no preferred direction, so these leave the physics untouched; zooms would change
    the Einstein radius.

    Args:
        images: square stacks (B, C, H, H), of which the i-th images get the same symmetry: an
            image and its low-resolution twin, say.

    Returns:
        The transformed stacks.
    """
    symmetry = torch.randint(8, (len(images[0]),)).to(images[0].device)
    return tuple(turned(stack, symmetry) for stack in images)


def random_d4_of_lenses(image: Tensor, params: Params) -> tuple[Tensor, Params]:
    """Turn and flip each image at random, and with it what describes it.

    Args:
        image: square, (B, 1, H, H).
        params: (B,) columns of a data set: positions, ellipticities, shear and angles turn too.

    Returns:
        The transformed images and their columns.
    """
    unknown = image.new_full((len(image),), math.nan)
    optics = Optics(pixel_scale=1.0, psf_fwhm=unknown, background_sigma=unknown)  # plays no part
    after = Symmetry().apply(LensBatch(image, params, optics), torch.default_generator)
    return after.image, after.params
