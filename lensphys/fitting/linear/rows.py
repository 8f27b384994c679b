"""Rows of fits from several starting points: the best one of each image, and its values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.rivals import weigh_noise
from lensphys.fitting.optimiser import State


def choose_rows(problem: LinearProblem, state: State, batch: int) -> Tensor:
    """Choose the most probable row of each of ``batch`` images: ``(batch,)``.

    Rows of an image follow one another, as many for each.
    """
    score = problem.measure(state.z, state.index)["log_posterior"]
    best = score.nan_to_num(-math.inf, -math.inf, -math.inf).view(batch, -1).argmax(1)
    return best + len(score) // batch * torch.arange(batch, device=best.device)


def read_values(
    problem: LinearProblem, state: State, points: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], Tensor]:
    """Read the values of fits by name, and the strength of their regularisation, ``(b,)`` each.

    Args:
        problem: that the fits minimise.
        state: the fits.
        points: values ``(b,)`` of further names, which are kept.
    """
    params, _ = problem.bounds.forward(state.z, state.index)
    return {**points, **problem.scene.named(params)}, problem.strength[state.index]


@dataclasses.dataclass
class Leaders:
    """Most probable values of every image among those that fits have ended with.

    Attributes:
        values: by name, ``(B,)`` each.
        strength: of the regularisation, ``(B,)``.
        score: log posterior, ``(B,)``, float64; minus infinity before any fit.
    """

    values: dict[str, Tensor]
    strength: Tensor
    score: Tensor

    @classmethod
    def begin(cls, values: Mapping[str, Tensor], strength: Tensor) -> Leaders:
        """Begin with values that any fit is better than."""
        score = torch.full_like(strength, -math.inf, dtype=torch.float64)
        return cls({k: v.clone() for k, v in values.items()}, strength.clone(), score)

    def offer(self, problem: LinearProblem, state: State, owner: Tensor) -> None:
        """Take over the values of fits that are better, of the images in ``owner`` (``(b,)``)."""
        values, strength = read_values(problem, state, {})
        score = problem.measure(state.z, state.index)["log_posterior"]
        score = score + weigh_noise(problem.weight[owner])
        better = score.nan_to_num(-math.inf, -math.inf, -math.inf) > self.score[owner]
        won = owner[better]
        self.score[won] = score[better]
        self.strength[won] = strength[better]
        for name, value in values.items():
            self.values[name][won] = value[better]
