"""Random views of an image that are physically exact."""

from __future__ import annotations

import torch
from torch import Tensor


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
    count = len(images[0])
    symmetry = torch.randint(8, (count,)).to(images[0].device)
    turned = [torch.empty_like(stack) for stack in images]
    for k in range(8):
        chosen = (symmetry == k).nonzero().squeeze(1)
        for stack, out in zip(images, turned, strict=True):
            view = torch.rot90(stack[chosen], k % 4, (-2, -1))
            out[chosen] = view.flip(-1) if k >= 4 else view
    return tuple(turned)
