"""Damped Gauss-Newton steps of many fits at once, from one or several starting points each.

Levenberg 1944; Marquardt 1963; damping after Nielsen 1999. The curvature that Gauss and Newton
neglect is learnt from the change of the gradient in the steps before (Dennis, Gay & Welsch 1981,
ACM Trans. Math. Softw. 7, 348): where amplitudes are solved for, or residuals are large, steps
without it are several times too short along the valleys of the objective.
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
#: Share of the fall of the objective that the normal matrix has to miss for more to be learnt.
_LACKING = 0.2
#: Steps from each starting point after which one in four is kept, until one is left.
_EXPLORE, _KEEP = 4, 4


@dataclasses.dataclass
class State:
    """Fits in progress.

    ``index`` is the image that each belongs to, ``normal`` the matrix of Gauss and Newton,
    ``neglected`` the curvature that it lacks.
    """

    index: Tensor
    z: Tensor
    objective: Tensor
    normal: Tensor
    neglected: Tensor
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
        neglected=torch.zeros_like(normal),
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
    added, free = torch.diag_embed(s.damping[:, None] * scale), bounds.free(s.z, s.gradient)
    step = solve_free(s.normal + s.neglected + added, s.gradient, free)
    downhill = (step * s.gradient).sum(1) > 0
    if not bool(downhill.all()):
        s.neglected = torch.where(downhill[:, None, None], s.neglected, 0.0)
        step = solve_free(s.normal + s.neglected + added, s.gradient, free)
    z = (s.z + problem.shorten(s.z, step, s.index).to(s.z.dtype)).clamp(-EDGE, EDGE)
    step = (z - s.z).double()
    bent = product(s.normal + s.neglected, step[..., None])[..., 0]
    expected = (step * (2 * s.gradient - bent)).sum(1)
    objective, normal, gradient = problem.equations(z, s.index)

    # Below its own rounding a rise of the objective is none.
    accepted = objective <= s.objective * (1 + 16 * torch.finfo(s.z.dtype).eps)
    gain = (s.objective - objective) / expected.clamp_min(1e-300)
    eased = s.damping * (1 - (2 * gain - 1) ** 3).clamp(0.1, 1)
    shorter = torch.maximum(s.damping * s.growth, _damp_more(s, step, bent, scale, objective))
    s.damping = torch.where(accepted, eased, shorter).clamp(1e-9, 1e12)
    s.growth = torch.where(accepted, 2.0, 2 * s.growth)
    plain = (step * (2 * s.gradient - product(s.normal, step[..., None])[..., 0])).sum(1)
    fell = s.objective - objective
    lacking = accepted & ((fell - plain).abs() > _LACKING * fell)
    learnt = _learn_curvature(s.neglected, normal, step, s.gradient - gradient)
    s.neglected = torch.where(lacking[:, None, None], learnt, 0.0)
    s.z = torch.where(accepted[:, None], z, s.z)
    s.objective = torch.where(accepted, objective, s.objective)
    s.normal = torch.where(accepted[:, None, None], normal, s.normal)
    s.gradient = torch.where(accepted[:, None], gradient, s.gradient)
    s.steps = s.steps + 1
    undamped = s.normal + torch.diag_embed(1e-9 * scale)
    newton = solve_free(undamped, s.gradient, bounds.free(s.z, s.gradient))
    s.converged = s.objective.isfinite() & ((newton * s.gradient).sum(1) < tolerance)


def _damp_more(s: State, step: Tensor, bent: Tensor, scale: Tensor, objective: Tensor) -> Tensor:
    """Damping that shortens a step which led uphill to where a parabola has its minimum."""
    slope = (step * s.gradient).sum(1)
    share = slope / (objective - s.objective + 2 * slope)
    share = share.nan_to_num(0.0, 0.0, 0.0).clamp(0.1, 0.5)
    stiffness = (step * bent).sum(1) / (scale * step * step).sum(1).clamp_min(1e-300)
    stiffness = stiffness.clamp_min(0.0)
    return (stiffness + s.damping) / share - stiffness


def _learn_curvature(neglected: Tensor, normal: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Update the curvature that the normal matrix lacks, so that it explains the last step.

    Dennis, Gay & Welsch 1981, eq. 2.9 and 3.4: the least change that is symmetric; the curvature
    learnt before is weakened first where it is too large.

    Args:
        neglected: curvature of the steps before, ``(b, P, P)``.
        normal: matrix of Gauss and Newton after the step, ``(b, P, P)``.
        step: ``(b, P)``.
        change: decrease of the downhill gradient in the step, ``(b, P)``.
    """
    known = product(normal, step[..., None])[..., 0]
    before = product(neglected, step[..., None])[..., 0]
    lacking, along = change - known, (step * change).sum(1)
    size = (step * lacking).sum(1).abs() / (step * before).sum(1).abs().clamp_min(1e-300)
    size = size.clamp_max(1.0)[:, None]
    usable = along > 1e-6 * (step * known).sum(1)
    along = torch.where(usable, along, 1.0)[:, None, None]
    off, direction = (lacking - size * before)[..., None], change[..., None]
    outer = off * direction.mT
    both = (step * off[..., 0]).sum(1)[:, None, None] * direction * direction.mT
    learnt = size[..., None] * neglected + (outer + outer.mT) / along - both / along**2
    good = usable & learnt.isfinite().all((1, 2))
    return torch.where(good[:, None, None], learnt, 0.0)


def solve_free(matrix: Tensor, vector: Tensor, may: Tensor) -> Tensor:
    """Solve for the parameters that may change; 0 for the others, and for a singular system."""
    both = may[:, :, None] & may[:, None]
    matrix = torch.where(both, matrix, torch.diag_embed((~may).to(matrix)))
    solution, info = torch.linalg.solve_ex(matrix, vector * may)
    return torch.where((info == 0)[:, None], solution, 0.0).nan_to_num(0.0, 0.0, 0.0)
