"""Gradients of a fit by the implicit function theorem."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from lensphys.fitting.optimiser import solve_free
from lensphys.fitting.problem import Problem


class SmoothProblem(Problem, Protocol):
    """Objective whose gradient is differentiable.

    Attributes:
        chunk: number of images that are worked through at once.
    """

    chunk: int

    def gradient(self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Half the downhill gradient ``(b, P)`` in ``z``, differentiable by its floats."""


class ImplicitFit(torch.autograd.Function):
    """Fit as a function of the images: the implicit function theorem on its gradient.

    At the best fit ``g(z, images, weight) = 0``, so ``dz = -(dg/dz)^-1 dg``. Fits that did not
    converge, or have no unique solution, pass no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        z: Tensor,
        converged: Tensor,
        problem: SmoothProblem,
    ) -> Tensor:
        ctx.save_for_backward(images, weight, z, converged)
        ctx.problem = problem
        return z.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_z: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, z, converged = ctx.saved_tensors
        problem: SmoothProblem = ctx.problem
        by_images, by_weight = torch.zeros_like(images), torch.zeros_like(images)
        for index in torch.nonzero(converged)[:, 0].split(problem.chunk):
            with torch.enable_grad():
                leaves = [t[index].detach().requires_grad_() for t in (z, images, weight)]
                gradient = problem.gradient(leaves[0], index, *leaves[1:])
                rows = [
                    torch.autograd.grad(g.sum(), leaves[0], retain_graph=True)[0]
                    for g in gradient.unbind(1)
                ]
                curvature = -torch.stack(rows, 1).double()
                may = problem.bounds.free(z[index], gradient)
                adjoint = solve_free(curvature.mT, by_z[index].double(), may).to(z.dtype)
                by_images[index], by_weight[index] = torch.autograd.grad(
                    gradient, leaves[1:], adjoint
                )
        return by_images, by_weight, None, None, None
