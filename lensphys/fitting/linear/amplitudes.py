"""Amplitudes of a linear model: regularised least squares, some of them not negative."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from lensphys.products import product

#: Relative to the diagonal of the normal matrix: what keeps near-parallel columns apart.
RIDGE = 1e-9


@dataclasses.dataclass(frozen=True)
class Solution:
    """Amplitudes that minimise ``|d - A c|^2 + strength c^T R c`` with some of them positive.

    Attributes:
        amplitudes: ``(b, K)``, float64.
        active: mask ``(b, K)`` of those that are not held at 0.
        factor: Cholesky factor ``(b, K, K)`` of the matrix of the active ones, that of the
            identity for the others.
        strength: of the regularisation, ``(b,)``.
    """

    amplitudes: Tensor
    active: Tensor
    factor: Tensor
    strength: Tensor

    def solve(self, rows: Tensor) -> Tensor:
        """Apply the inverse of the matrix of the active amplitudes to ``(b, K, m)``."""
        return torch.cholesky_solve(rows * self.active[..., None], self.factor)


def solve_amplitudes(
    normal: Tensor,
    projection: Tensor,
    strength: Tensor,
    roughness: Tensor,
    precision: Tensor,
    positive: Tensor,
) -> Solution:
    """Solve the normal equations of every image of a batch; differentiable where none is at 0.

    Amplitudes that may be negative are eliminated first; the others follow from the algorithm of
    Lawson & Hanson (1974) for what is left.

    Args:
        normal: ``A^T A``, ``(b, K, K)``, float64.
        projection: ``A^T d``, ``(b, K)``.
        strength: of the regularisation, ``(b,)``.
        roughness: matrix of the regularisation, ``(K, K)``.
        precision: inverse variance ``(b, K)`` of amplitudes that have one by themselves.
        positive: mask ``(K,)`` of the amplitudes that may not be negative.
    """
    diagonal = normal.diagonal(dim1=1, dim2=2).detach()
    # Relative to the equations, whose unit is that of the images; 0 where all pixels are masked.
    floor = 1e-12 * diagonal.amax(1, keepdim=True).clamp_min(1e-280)
    total = (
        normal
        + strength[:, None, None] * roughness
        + torch.diag_embed(precision + RIDGE * diagonal + floor)
    )
    active = _find_active(total.detach(), projection.detach(), positive)
    both = active[:, :, None] & active[:, None]
    identity = torch.diag_embed((~active).to(total))
    factor = torch.linalg.cholesky(torch.where(both, total, identity))
    amplitudes = torch.cholesky_solve((projection * active)[..., None], factor)[..., 0]
    return Solution(amplitudes, active, factor, strength)


def _find_active(total: Tensor, projection: Tensor, positive: Tensor) -> Tensor:
    """Find the amplitudes ``(b, K)`` that are not held at 0."""
    active = torch.ones_like(projection, dtype=torch.bool)
    if not bool(positive.any()):
        return active
    free, bound = torch.nonzero(~positive)[:, 0], torch.nonzero(positive)[:, 0]
    left = total[:, bound[:, None], bound]
    right = projection[:, bound]
    if len(free):
        factor = torch.linalg.cholesky(total[:, free[:, None], free])
        cross = total[:, free[:, None], bound]
        solved = torch.cholesky_solve(torch.cat([cross, projection[:, free, None]], 2), factor)
        left = left - product(cross.mT, solved[..., :-1])
        right = right - product(cross.mT, solved[..., -1:])[..., 0]
    rows = [
        _solve_positive(matrix, vector) > 0
        for matrix, vector in zip(left.cpu().numpy(), right.cpu().numpy(), strict=True)
    ]
    active[:, bound] = torch.from_numpy(np.stack(rows)).to(active.device)
    return active


def _solve_positive(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Minimise ``c^T M c - 2 v^T c`` over amplitudes that are not negative."""
    scale = 1 / np.sqrt(np.maximum(matrix.diagonal(), 1e-300))
    matrix = matrix * scale[:, None] * scale
    for ridge in (0.0, 1e-10, 1e-7, 1e-4):
        try:
            factor = np.linalg.cholesky(matrix + ridge * np.eye(len(matrix)))
        except np.linalg.LinAlgError:
            continue
        found, _ = nnls(factor.T, np.linalg.solve(factor, vector * scale), maxiter=100 * len(scale))
        return np.asarray(found * scale)
    return np.zeros(len(scale))
