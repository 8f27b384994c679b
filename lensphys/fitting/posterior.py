"""Gaussian approximation of the posterior at a best fit: covariance and evidence."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lensphys.fitting.problem import Problem


def invert_fisher(problem: Problem, z: Tensor, normal: Tensor) -> Tensor:
    """Invert the Fisher matrix: covariance of the parameters ``(B, P, P)``, infinite if none.

    Args:
        problem: that was fitted.
        z: best fit of every image, ``(B, P)``.
        normal: normal matrix there, ``(B, P, P)``, in the coordinates ``z``.
    """
    held = problem.bounds.held
    slope = problem.bounds.forward(z, torch.arange(len(z), device=z.device))[1].double()
    normal = normal + torch.diag(held.double())  # slope removes it again
    # To unit diagonal first: units of the parameters differ by many orders of magnitude.
    scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    factor, info = torch.linalg.cholesky_ex(normal * scale[:, :, None] * scale[:, None])
    identity = torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
    factor = torch.where((info == 0)[:, None, None], factor, identity)
    inverse = torch.cholesky_inverse(factor) * scale[:, :, None] * scale[:, None]
    inverse = torch.where((info == 0)[:, None, None], inverse, identity * math.inf).nan_to_num(
        nan=0.0, posinf=math.inf
    )
    inverse = torch.where(held[:, None] | held, 0.0, inverse)  # infinite, it would stay so
    return (inverse * slope[:, :, None] * slope[:, None]).to(z.dtype)


def count_effective(problem: Problem, covariance: Tensor) -> Tensor:
    """Count the parameters that the data fix, ``(B,)``: all that are free, less those by priors.

    ``P - trace(R C)`` with the precision ``R`` of the priors and the covariance ``C`` (MacKay 1992,
    Neural Computation 4, 415, eq. 4.8).
    """
    index = torch.arange(len(covariance), device=covariance.device)
    variance = covariance.diagonal(dim1=1, dim2=2).double()
    # A parameter that neither data nor prior fix has an infinite variance, and no prior.
    share = (problem.priors.precision(index) * variance).nan_to_num(0.0).clamp(0.0, 1.0)
    return torch.where(problem.bounds.held, 0.0, 1 - share).sum(1)


def compute_evidence(
    problem: Problem, z: Tensor, normal: Tensor, energy: Tensor | None = None
) -> Tensor:
    """Compute the log evidence ``(B,)`` by Laplace's approximation, natural logarithm, float64.

    ``log E = -energy - sum log(sigma sqrt(2 pi)) + 1/2 log det(2 pi C) + log prior``, where ``C``
    is the covariance of the free parameters, and the prior one over the volume of their bounds, or
    the normalisation of a Gaussian (MacKay 1992, Neural Computation 4, 415, eq. 2.5). A direction
    that neither data nor priors constrain counts with the full width of its bounds, no more.

    Args:
        problem, z, normal: see :func:`invert_fisher`.
        energy: of every image ``(B,)``, if it is known already; see :class:`Problem`.
    """
    bounds, index = problem.bounds, torch.arange(len(z), device=z.device)
    slope = bounds.forward(z, index)[1].double()
    width = (bounds.high - bounds.low).double()
    # In units of the bounds, in which a flat prior has the density 1.
    scale = torch.where(bounds.held, 0.0, width / slope)
    fisher = normal * scale[:, :, None] * scale[:, None]
    finite = fisher.isfinite().all((1, 2))
    curvature = torch.linalg.eigvalsh(torch.where(finite[:, None, None], fisher, 0.0))
    volume = -0.5 * torch.log(curvature.clamp_min(2 * math.pi) / (2 * math.pi)).sum(1)
    density = problem.priors.log_normalisation(bounds.low, bounds.high) + torch.log(width)
    prior = torch.where(bounds.held, 0.0, density).sum(1)
    weight = problem.weight.double()
    noise = torch.where(weight > 0, torch.log(weight / math.sqrt(2 * math.pi)), 0.0).sum((-2, -1))
    energy = problem.energy(z, index) if energy is None else energy
    return torch.where(finite, volume + prior + noise - energy, -math.inf)
