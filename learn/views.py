"""Random views of an image that are physically exact."""

from __future__ import annotations

import torch
from torch import Tensor

from simulate.augment import turned


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
