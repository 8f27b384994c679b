"""Rivals: models of an image with other Einstein radii, between which a coarse fit is not sure."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Difference of the log posterior up to which the fit to wide pixels may err, and of the Einstein
#: radius, relative, from which on it matters.
_CLOSE, _APART = 25.0, 0.03


def list_rivals(score: Tensor, theta_E: Tensor) -> tuple[Tensor, Tensor]:
    """Rank the candidates of every image, and find those that may be better than the first.

    Args:
        score: log posteriors, ``(B, M)``.
        theta_E: Einstein radii, ``(B, M)``.

    Returns:
        Columns of the candidates of each image, best first, ``(B, M)``; and a mask ``(B, M)`` in
        that order, of those whose score is close to the best and whose Einstein radius is another.
        The first belongs to them where there are others.
    """
    score = score.nan_to_num(-math.inf, -math.inf, -math.inf)
    score, order = score.sort(dim=1, descending=True)
    radius = theta_E.gather(1, order)
    close = (score > score[:, :1] - _CLOSE) & ((radius / radius[:, :1] - 1).abs() > _APART)
    close[:, 0] = close.any(1)
    return order, close


def weigh_noise(weight: Tensor) -> Tensor:
    """Logarithm of the normalisation of the likelihood ``(B,)``, up to a constant, float64.

    Fits compare only with it where part of their models is added to the noise.

    Args:
        weight: one over the noise, ``(B, ny, nx)``; 0 where a pixel is masked.
    """
    return torch.where(weight > 0, weight, 1.0).double().log().sum((-2, -1))
