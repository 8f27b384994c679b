"""Convergence of Markov chains: rank-normalised split R-hat and effective sample size."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rhat(chains: Tensor) -> Tensor:
    """Rank-normalised split R-hat, 1 where all chains agree; 1.01 is the customary limit.

    Vehtari et al. 2021 (Bayesian Analysis 16, 667), section 4: the larger of the value for the
    ranks, sensitive to the place of the chains, and for the folded ones, to their width.

    Args:
        chains: draws of one quantity, ``(T, C, ...)``: ``T`` draws from each of ``C`` chains.

    Returns:
        A number for every further axis; 1 where all draws are the same.
    """
    halves = _split(chains)
    folded = (halves - halves.flatten(0, 1).median(0).values).abs()
    return torch.maximum(_plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(folded)))


def effective_size(chains: Tensor) -> Tensor:
    """Bulk effective sample size: independent draws that locate a quantity as well as the chains.

    Vehtari et al. 2021 (Bayesian Analysis 16, 667), section 3.2 and eq. 10 to 14, on the
    rank-normalised halves of the chains, with the initial monotone sequence of Geyer 1992
    (Statistical Science 7, 473).

    Args:
        chains: see :func:`rhat`.

    Returns:
        A number for every further axis, at most ``T C log10(T C)``; ``T C`` where all draws are
        the same.
    """
    scores = _normal_scores(_split(chains))
    length, count = scores.shape[:2]
    within, total = _variances(scores)
    spectrum = torch.fft.rfft(scores - scores.mean(0), 2 * length, dim=0)
    covariance = torch.fft.irfft(spectrum * spectrum.conj(), 2 * length, dim=0)[:length] / length
    # Times n / (n - 1), as the variance within the chains.
    covariance = covariance.mean(1) * (length / (length - 1))
    correlation = 1 - (within - covariance) / total.clamp_min(torch.finfo(total.dtype).tiny)
    correlation[0] = 1.0
    pairs = correlation[: length // 2 * 2].unflatten(0, (-1, 2)).sum(1)
    positive = torch.cumprod((pairs > 0).to(pairs), 0)
    monotone = torch.cummin(pairs * positive, 0).values
    time = (2 * monotone.sum(0) - 1).clamp_min(1 / math.log10(length * count))
    size = length * count / time
    return torch.where(total > 0, size, float(length * count))


def _split(chains: Tensor) -> Tensor:
    """Halves of all chains, each as a chain of its own, float64."""
    half = len(chains) // 2
    return torch.cat([chains[:half], chains[len(chains) - half :]], 1).double()


def _normal_scores(chains: Tensor) -> Tensor:
    """Quantiles of a normal distribution of the ranks among all chains; equal draws share one."""
    pooled = chains.flatten(0, 1)
    flat = pooled.reshape(len(pooled), -1).T.contiguous()
    ordered = flat.sort(1).values
    low = torch.searchsorted(ordered, flat)
    high = torch.searchsorted(ordered, flat, right=True)
    ranks = (0.5 * (low + high + 1)).to(chains)
    scores: Tensor = torch.special.ndtri((ranks - 0.375) / (len(pooled) + 0.25))
    return scores.T.reshape(chains.shape)


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """Mean variance within the chains, and the estimate for all of them together."""
    within = chains.var(0).mean(0)
    between = chains.mean(0).var(0)
    return within, within * (1 - 1 / len(chains)) + between


def _plain_rhat(chains: Tensor) -> Tensor:
    within, total = _variances(chains)
    ratio = total / within.clamp_min(torch.finfo(within.dtype).tiny)
    return torch.where(total > 0, ratio.sqrt(), 1.0)
