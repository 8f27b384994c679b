"""Smooth approximation of an energy that costs much, from the places where it is known."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from lensphys.products import product
from lensphys.threads import map_chunks

#: Lengths over which the difference from a normal distribution changes, in its widths, and its
#: variances, among which the evidence chooses.
_LENGTHS, _VARIANCES = (4.0, 6.0, 9.0, 14.0), (3.0, 30.0, 300.0)
#: Places from which they are chosen at most.
_CHOSEN = 200
#: Variance of an energy about the smooth function; a place whose energy is high counts less.
_NOISE, _LEAST_WEIGHT = 0.02, 1e-8


class Surrogate:
    """Gaussian process of what energies differ from those of a normal distribution of unit width.

    Rasmussen & Williams 2006 (Gaussian Processes for Machine Learning, MIT Press), eq. 2.25 and
    2.30, with a squared exponential kernel: far away from all known places nothing is left of the
    difference.

    Args:
        places: ``(b, N, F)``, float64, in coordinates in which the posterior is about normal.
        energy: ``(b, N)``, infinite where there is none.
    """

    def __init__(self, places: Tensor, energy: Tensor) -> None:
        chunks = zip(places.split(1), energy.split(1), strict=True)
        length, factor = zip(*map_chunks(_condition, chunks), strict=True)
        self._places, self._length, self._factor = places, torch.cat(length), torch.cat(factor)
        self._squares = places.square().sum(2)

    def pull(self, q: Tensor) -> Tensor:
        """Downhill gradient of the difference at ``q``, ``(b, C, F)``."""
        squared = self._length[:, None, None].square()
        far = q.square().sum(2)[..., None] + self._squares[:, None]
        far = far - 2 * product(q, self._places.mT)
        weight = self._factor[:, None] * torch.exp(-0.5 * far / squared) / squared
        return weight.sum(2, keepdim=True) * q - product(weight, self._places)


def _condition(places: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """Length ``(1,)`` of the kernel of a lens, and the factors ``(1, N)`` on it at its places."""
    x, known = places[0], energy[0].isfinite()
    difference = torch.where(known, energy[0] - 0.5 * x.square().sum(1), 0.0)
    excess = energy[0] - energy[0].min()
    # In a normal distribution of F dimensions the energy lies F / 2 above its least on average.
    weight = torch.exp(-0.5 * (excess - x.shape[1])).nan_to_num(0.0).clamp(_LEAST_WEIGHT, 1.0)
    weight = torch.where(known, weight, 1e-6 * _LEAST_WEIGHT)
    noise = _NOISE / weight
    y = difference - (weight * difference).sum() / weight.sum()
    square = x.square().sum(1)
    far = square[:, None] + square - 2 * product(x, x.mT)
    every = math.ceil(len(x) / _CHOSEN)
    best = (-math.inf, _LENGTHS[0], _VARIANCES[0])
    for length, variance in itertools.product(_LENGTHS, _VARIANCES):
        part = far[::every, ::every]
        _, evidence = _solve(part, noise[::every], y[::every], length, variance)
        best = max(best, (evidence, length, variance))
    _, length, variance = best
    solved, _ = _solve(far, noise, y, length, variance)
    return torch.full_like(solved[:1], length), variance * solved[None]


def _solve(
    far: Tensor, noise: Tensor, y: Tensor, length: float, variance: float
) -> tuple[Tensor, float]:
    """Solve for the weights of the known places ``(N,)``; also the log evidence."""
    matrix = variance * torch.exp(-0.5 * far / length**2) + torch.diag(noise)
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        return torch.zeros_like(y), -math.inf
    solved = torch.cholesky_solve(y[:, None], factor)[:, 0]
    evidence = -0.5 * float((y * solved).sum()) - float(torch.log(factor.diagonal()).sum())
    return solved, evidence
