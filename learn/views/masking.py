"""Block masks for joint-embedding prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def random_blocks(
    count: int,
    grid: int,
    scale: tuple[float, float],
    aspect: tuple[float, float],
    light: Tensor | None = None,
) -> Tensor:
    """Rectangular blocks of one common size, each at a random place of its own.

    Args:
        count: number of blocks.
        grid: patches on a side.
        scale: range of a block's area, as a fraction of the grid.
        aspect: range of its height over its width.
        light: (count, grid, grid), not negative: a place is as likely as there is light in the
            block there. None: all places are.

    Returns:
        (count, grid * grid), true inside. Any patch, those of the last row and column included,
        can be covered.
    """
    area = grid * grid * _uniform(*scale)
    ratio = math.exp(_uniform(math.log(aspect[0]), math.log(aspect[1])))
    height = min(max(round(math.sqrt(area * ratio)), 1), grid)
    width = min(max(round(math.sqrt(area / ratio)), 1), grid)
    free = grid - height + 1, grid - width + 1
    if light is None:
        starts = [torch.randint(n, (count, 1)) for n in free]
    else:
        held = F.avg_pool2d(light[:, None].cpu().double(), (height, width), 1).flatten(1)
        # In the dark all places are alike.
        corner = torch.multinomial(held + 1e-6 * held.amax(1, keepdim=True) + 1e-30, 1)
        starts = [corner // free[1], corner % free[1]]
    inside = []
    for size, start in zip((height, width), starts, strict=True):
        place = torch.arange(grid)
        inside.append((place >= start) & (place < start + size))
    return (inside[0][:, :, None] & inside[1][:, None, :]).flatten(1)


def jepa_masks(
    batch: int,
    grid: int,
    *,
    targets: int,
    target_scale: tuple[float, float],
    target_aspect: tuple[float, float],
    context_scale: tuple[float, float],
    light: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """Context and target patches of a batch, as in I-JEPA (Assran et al. 2023, section 3).

    Target blocks have one size for the whole batch and a place of their own in every image; the
    context is one large block less all targets. Contexts are cut at random to the length of the
    shortest in the batch, so that they stack.

    Args:
        batch: number of images.
        grid: patches on a side.
        targets: blocks an image.
        target_scale, target_aspect, context_scale: see :func:`random_blocks`.
        light: (batch, grid, grid), where given: target blocks lie where it is.

    Returns:
        Indices of the context patches (B, n), and for each target block indices (B, h * w).
    """
    lit = None if light is None else light.repeat(targets, 1, 1)
    target = random_blocks(targets * batch, grid, target_scale, target_aspect, lit)
    block = random_blocks(batch, grid, context_scale, (1.0, 1.0))
    free = block & ~target.view(targets, batch, -1).any(0)
    # On a small grid targets may cover the whole block: then one patch of it stays to be seen.
    order = torch.rand(batch, grid * grid)
    some = order.masked_fill(~block, -1).argmax(1, keepdim=True)
    one = torch.zeros_like(free).scatter_(1, some, True)
    free = torch.where(free.any(1, keepdim=True), free, one)

    shortest = int(free.sum(1).min())
    context = order.masked_fill(~free, -1).topk(shortest, dim=1).indices.sort(dim=1).values
    size = int(target[0].sum())
    indices = target.nonzero()[:, 1].view(targets, batch, size)
    return context, list(indices)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
