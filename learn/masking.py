"""Block masks for joint-embedding prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sample_blocks(
    grid: int, count: int, scale: tuple[float, float], aspect: tuple[float, float]
) -> tuple[list[Tensor], int, int]:
    """Rectangular blocks of one common size at random places.

    Args:
        grid: patches on a side.
        count: number of blocks.
        scale: range of a block's area, as a fraction of the grid.
        aspect: range of its height over its width.

    Returns:
        For each block the sorted indices (h * w,) of its patches; and ``h`` and ``w``. Every
        patch, those of the last row and column included, can be covered.
    """
    area = grid * grid * _uniform(*scale)
    ratio = math.exp(_uniform(math.log(aspect[0]), math.log(aspect[1])))
    h = min(max(round(math.sqrt(area * ratio)), 1), grid)
    w = min(max(round(math.sqrt(area / ratio)), 1), grid)
    blocks = []
    for _ in range(count):
        top = int(torch.randint(grid - h + 1, ()))
        left = int(torch.randint(grid - w + 1, ()))
        rows, columns = torch.arange(top, top + h), torch.arange(left, left + w)
        blocks.append((rows[:, None] * grid + columns).flatten())
    return blocks, h, w


def jepa_masks(
    batch: int,
    grid: int,
    *,
    targets: int,
    target_scale: tuple[float, float],
    target_aspect: tuple[float, float],
    context_scale: tuple[float, float],
) -> tuple[Tensor, list[Tensor]]:
    """Context and target patches of a batch, as in I-JEPA (Assran et al. 2023, section 3).

    Target blocks have one size for the whole batch and a place of their own in every image; the
    context is one large block less all targets. Contexts are cut to the length of the shortest in
    the batch, so that they stack.

    Returns:
        Indices of the context patches (B, n), and for each target block indices (B, h * w).
    """
    target_blocks, _, _ = sample_blocks(grid, batch * targets, target_scale, target_aspect)
    context_blocks, _, _ = sample_blocks(grid, batch, context_scale, (1.0, 1.0))
    target = torch.stack(target_blocks).view(targets, batch, -1)
    contexts = []
    for i, block in enumerate(context_blocks):
        free = torch.zeros(grid * grid, dtype=torch.bool)
        free[block] = True
        free[target[:, i].flatten()] = False
        if not free.any():
            # Targets may cover everything on a small grid; one patch is always left to see.
            free[block[torch.randint(len(block), ())]] = True
        contexts.append(free.nonzero().squeeze(1))
    shortest = min(len(context) for context in contexts)
    kept = [context[torch.randperm(len(context))[:shortest].sort().values] for context in contexts]
    return torch.stack(kept), list(target)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))
