"""The middle of images, in the pixels that an encoder is made for."""

from __future__ import annotations

from torch import Tensor

from learn.lens_fits.channels import bin_stack


def bin_middle(stack: Tensor, side: int, factor: int) -> Tensor:
    """The middle of images, in coarser pixels, each the sum of ``factor`` x ``factor``.

    Args:
        stack: flux (B, 1, H, H), or with the channels of lens fits beside it; H is at least
            ``side * factor``.
        side: pixels on a side of what is left.
        factor: pixels along a side of a coarse one.
    """
    first = (stack.shape[-1] - side * factor) // 2
    kept = slice(first, first + side * factor)
    return bin_stack(stack[..., kept, kept], factor)
