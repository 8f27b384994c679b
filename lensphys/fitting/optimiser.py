"""Damped Gauss-Newton steps of many fits at once, from one or several starting points each.

Levenberg 1944; Marquardt 1963; damping after Nielsen 1999.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.fitting.bounds import EDGE
from lensphys.fitting.problem import Problem
from lensphys.products import product

#: Damping of the first step, relative to the diagonal of the normal matrix.
_DAMPING = 1e-2
#: Steps from each starting point after which one in four is kept, until one is left.
_EXPLORE, _KEEP = 4, 4


@dataclasses.dataclass
class State:
    """Fits in progress; ``index`` is the image that each belongs to."""

    index: Tensor
    z: Tensor
    objective: Tensor
    normal: Tensor
    gradient: Tensor
    damping: Tensor
    growth: Tensor
    converged: Tensor
    steps: Tensor

    def take(self, which: Tensor) -> State:
        """Return some of the fits."""
        return State(*(getattr(self, f.name)[which] for f in dataclasses.fields(self)))

    def put(self, which: Tensor, part: State) -> None:
        """Replace some of the fits."""
        for f in dataclasses.fields(self):
            getattr(self, f.name)[which] = getattr(part, f.name)


def find_best(
    problem: Problem, points: Tensor, max_steps: int, tolerance: float, index: Tensor | None = None
) -> State:
    """Fit every image, or those in ``index``, from points ``(B, M, P)``; keep the best of each.

    Args:
        problem: objective of the fits.
        points: parameters to start from, ``M`` for each image.
        max_steps: most steps from the best point on, and from each while the best is sought.
        tolerance: a fit has converged when a step is not expected to lower the objective by more.
        index: images that the rows of ``points`` belong to.
    """
    if index is None:
        index = torch.arange(len(points), device=points.device)
    images, starts = points.shape[:2]
    each = index.repeat_interleave(starts)
    state = begin(problem, problem.bounds.inverse(points.flatten(0, 1), each), each)
    while starts > 1:
        descend(problem, state, min(_EXPLORE, max_steps), tolerance)
        kept = max(starts // _KEEP, 1)
        objective = state.objective.view(images, starts).nan_to_num(math.inf)
        best = objective.topk(kept, dim=1, largest=False).indices
        first = starts * torch.arange(images, device=points.device)
        state, starts = state.take((best + first[:, None]).flatten()), kept
    state.steps.zero_()
    descend(problem, state, max_steps, tolerance)
    return state


def begin(problem: Problem, z: Tensor, index: Tensor) -> State:
    """Evaluate fits at the coordinates ``z`` ``(b, P)`` of images ``index``."""
    objective, normal, gradient = problem.equations(z, index)
    ones = torch.ones_like(objective)
    return State(
        index=index,
        z=z.clone(),
        objective=objective,
        normal=normal,
        gradient=gradient,
        damping=_DAMPING * ones,
        growth=2 * ones,
        converged=torch.zeros_like(index, dtype=torch.bool),
        steps=torch.ones_like(index),
    )


def descend(problem: Problem, state: State, steps: int, tolerance: float) -> None:
    """Step the fits that have not converged, ``steps`` times at most."""
    for _ in range(steps):
        live = torch.nonzero(~state.converged)[:, 0]
        if not live.numel():
            return
        part = state.take(live)
        _step(problem, part, tolerance)
        state.put(live, part)


def _step(problem: Problem, s: State, tolerance: float) -> None:
    bounds = problem.bounds
    scale = s.normal.diagonal(dim1=1, dim2=2)
    scale = scale.clamp_min(1e-12 * scale.amax(1, keepdim=True))
    damped = s.normal + torch.diag_embed(s.damping[:, None] * scale)
    step = solve_free(damped, s.gradient, bounds.free(s.z, s.gradient))
    z = (s.z + problem.shorten(s.z, step, s.index).to(s.z.dtype)).clamp(-EDGE, EDGE)
    step = (z - s.z).double()
    expected = (step * (2 * s.gradient - product(s.normal, step[..., None])[..., 0])).sum(1)
    objective, normal, gradient = problem.equations(z, s.index)

    # Below its own rounding a rise of the objective is none.
    accepted = objective <= s.objective * (1 + 16 * torch.finfo(s.z.dtype).eps)
    gain = (s.objective - objective) / expected.clamp_min(1e-300)
    eased = s.damping * (1 - (2 * gain - 1) ** 3).clamp(0.1, 1)
    s.damping = torch.where(accepted, eased, s.damping * s.growth).clamp(1e-9, 1e12)
    s.growth = torch.where(accepted, 2.0, 2 * s.growth)
    s.z = torch.where(accepted[:, None], z, s.z)
    s.objective = torch.where(accepted, objective, s.objective)
    s.normal = torch.where(accepted[:, None, None], normal, s.normal)
    s.gradient = torch.where(accepted[:, None], gradient, s.gradient)
    s.steps = s.steps + 1
    undamped = s.normal + torch.diag_embed(1e-9 * scale)
    newton = solve_free(undamped, s.gradient, bounds.free(s.z, s.gradient))
    s.converged = s.objective.isfinite() & ((newton * s.gradient).sum(1) < tolerance)


def solve_free(matrix: Tensor, vector: Tensor, may: Tensor) -> Tensor:
    """Solve for the parameters that may change; 0 for the others, and for a singular system."""
    both = may[:, :, None] & may[:, None]
    matrix = torch.where(both, matrix, torch.diag_embed((~may).to(matrix)))
    solution, info = torch.linalg.solve_ex(matrix, vector * may)
    return torch.where((info == 0)[:, None], solution, 0.0).nan_to_num(0.0, 0.0, 0.0)
