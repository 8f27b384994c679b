"""Second starts of fits that have ended with a wrong lens."""

from __future__ import annotations

import torch
from torch import Tensor

from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.rows import read_values
from lensphys.fitting.optimiser import State

#: Parameters of the mass that are 0 at a second start, unless a prior has another mean.
_NONE = ("gamma1", "gamma2", "a1_cos", "a1_sin", "a3_cos", "a3_sin", "a4_cos", "a4_sin")


def align_mass(problem: LinearProblem, state: State) -> dict[str, Tensor]:
    """Turn the mass to where the priors have it, and let the source follow.

    Ellipticity and shear can be wrong together, with images about right: a valley that steps do
    not lead out of. From the mass without shear that has the shape and the centre of the light, and
    the Einstein radius that was found, they may take another way. Fixed parameters stay.

    Args:
        problem: that has been fitted.
        state: one fit of each image.

    Returns:
        All parameters by name, ``(B,)`` each; the source is where its images come from on average.
    """
    values, _ = read_values(problem, state, {})
    known = problem.priors.named(values["theta_E"].dtype)
    held = zip(problem.scene.names, problem.bounds.held.tolist(), strict=True)
    free = {name for name, fixed in held if not fixed}
    values |= {name: torch.zeros_like(values[name]) for name in _NONE if name in free}
    for name in ("e1", "e2", "center_x", "center_y", *_NONE):
        if name in known and name in free:
            values[name] = known[name][0].expand_as(values[name])
    _, image = problem.split_light(state.z, state.index)
    weight = image.clamp_min(0).square()
    x, y = problem.pixels.centers
    places = problem.scene.lens(values).ray_trace(x.expand_as(weight), y.expand_as(weight))
    total = weight.sum((-2, -1)).clamp_min(torch.finfo(weight.dtype).tiny)
    for name, place in zip(("source_center_x", "source_center_y"), places, strict=True):
        values[name] = (weight * place).sum((-2, -1)) / total
    return values
