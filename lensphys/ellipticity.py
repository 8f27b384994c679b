"""Elliptical coordinates that stay smooth at the circular limit.

Position angle and axis ratio are singular coordinates at ``q = 1``. Written with the complex
ellipticity ``e = e1 + i e2`` (modulus ``(1 - q) / (1 + q)``, phase twice the position angle) the
same quantities are polynomials, so values *and gradients* are right there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stretch(x: Tensor, y: Tensor, e1: Tensor, e2: Tensor) -> tuple[Tensor, Tensor]:
    """The complex stretched position ``W = z - e conj(z)``, as its two real components.

    In the frame of the ellipse ``W = 2 / (1 + q) * (q x + i y)``.
    """
    return torch.addcmul((1 - e1) * x, -e2, y), torch.addcmul((1 + e1) * y, -e2, x)


def elliptical_radius(x: Tensor, y: Tensor, e1: Tensor, e2: Tensor, floor: float) -> Tensor:
    """Circularised elliptical radius ``sqrt(q x^2 + y^2 / q)`` in arcsec, at least ``floor``.

    The floor keeps profiles with a cusp, and the gradient of the square root, finite at the centre.
    """
    wx, wy = stretch(x, y, e1, e2)
    r2 = (wx * wx + wy * wy) / (1 - e1 * e1 - e2 * e2)
    return torch.sqrt(r2.clamp_min(floor * floor))
