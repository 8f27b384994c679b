"""Products of matrices in full precision, also where autocast is active.

Autocast of torch rounds the factors of a product to half precision, and the backward pass of a
product is one too. Nothing else that physics calls is touched by it, so that everything here
multiplies matrices by :func:`product` alone; the tests look for half precision in all that is
public.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensphys.parameters import is_transformed, needs_backward


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` of two stacks of matrices, which takes no part in autocast, nor do its gradients.

    Args:
        a, b: of shapes ``(..., n, m)`` and ``(..., m, k)``, whose batches broadcast; or ``(m,)``.
    """
    if needs_backward(a, b):
        if b.ndim == 1:
            return product(a, b[:, None])[..., 0]
        result: Tensor = _Product.apply(a, b)
        return result
    return _multiply(a, b)


def gram(a: Tensor) -> Tensor:
    """``a @ a^T`` of a stack of matrices ``(..., n, m)``, as :func:`product`.

    On a processor, and where no gradient is asked for, it is numpy's product, which computes one
    half of it alone.
    """
    if a.device.type != "cpu" or needs_backward(a) or is_transformed(a):
        return product(a, a.mT)
    rows = a.detach().numpy()
    return torch.from_numpy(np.matmul(rows, rows.swapaxes(-1, -2)))


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    if not torch._C._is_any_autocast_enabled():
        return a @ b
    if is_transformed(a, b):
        # Later derivatives are taken by torch; it leaves double precision as it is.
        return (a.double() @ b.double()).to(a.dtype)
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


class _Product(torch.autograd.Function):
    """Product of matrices, whose backward pass consists of such products."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return _multiply(a, b)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        by_a, by_b = ctx.needs_input_grad
        return (
            product(g, b.mT).sum_to_size(a.shape) if by_a else None,
            product(a.mT, g).sum_to_size(b.shape) if by_b else None,
        )
