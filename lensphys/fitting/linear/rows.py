"""Rows of fits from several starting points: the best one of each image, and its values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fitting.linear.problem import LinearProblem
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
