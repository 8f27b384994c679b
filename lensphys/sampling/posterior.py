"""Posterior density of fitted lenses, in coordinates without bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from lensphys.fitting.problem import Problem

#: Newton steps to the mode, the damping of the first, and the largest change in one of them.
_STEPS, _DAMPING, _LARGEST = 40, 1e-3, 1.0
#: A mode has been found when a step is not expected to lower the energy by more.
_TOLERANCE = 1e-2


class Posterior:
    """Density of the free parameters of every image, in the coordinates ``z`` of the bounds.

    The prior is flat in the *parameters* inside their bounds, times the Gaussian priors of the
    problem: the density in ``z`` holds the Jacobian of the transformation. It falls exponentially
    towards a bound, so that a parameter that the data drive into its bound, or do not constrain at
    all, is drawn like any other.

    Args:
        problem: images and model that were fitted.

    Attributes:
        free: columns of ``z`` that are drawn, of the parameters that are not fixed.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.free = torch.nonzero(~problem.bounds.held)[:, 0]

    def energy(self, z: Tensor, index: Tensor) -> Tensor:
        """Minus the log density ``(b,)``, float64; infinite where the model has no value."""
        slope = self._problem.bounds.forward(z, index)[1][:, self.free]
        energy = self._problem.energy(self._cast(z), index).double() - slope.log().sum(1)
        return torch.where(energy.isfinite(), energy, torch.inf)

    def force(self, z: Tensor, index: Tensor) -> Tensor:
        """Downhill gradient of the energy ``(b, F)``, that of Gauss and Newton; 0 if infinite."""
        _, _, gradient = self._problem.equations(self._cast(z), index)
        by_jacobian, _ = self._jacobian_terms(z, index)
        return (gradient[:, self.free] + by_jacobian).nan_to_num(0.0, 0.0, 0.0)

    def force_and_curvature(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`force`, and the positive definite matrix ``(b, F, F)`` of a Newton step.

        At a mode the second derivative of ``p(z)`` times the pull of the data on ``p`` is known:
        it balances the Jacobian, whose part in the curvature is therefore that of both.
        """
        _, normal, gradient = self._problem.equations(self._cast(z), index)
        first, second = self._jacobian_terms(z, index)
        normal = normal[:, self.free[:, None], self.free]
        curvature = normal + torch.diag_embed(first.square() - second)
        return (gradient[:, self.free] + first).nan_to_num(0.0, 0.0, 0.0), curvature

    def find_mode(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Find the mode of the density near ``z``, and the directions of its width.

        Args:
            z: starting points of all images, ``(B, P)``, float64.

        Returns:
            The mode ``(B, P)``, and ``T`` ``(B, F, F)`` of ``z = mode + T q``, in whose coordinates
            ``q`` the density is about a normal one of unit width.
        """
        index = torch.arange(len(z), device=z.device)
        z, energy = z.clone(), self.energy(z, index)
        damping = torch.full_like(energy, _DAMPING)
        live = index
        for _ in range(_STEPS):
            force, curvature = self.force_and_curvature(z[live], live)
            damped = curvature + torch.diag_embed(
                damping[live, None] * curvature.diagonal(dim1=1, dim2=2)
            )
            step = _solve(torch.linalg.cholesky_ex(damped)[0], force)
            step = step.clamp(-_LARGEST, _LARGEST).nan_to_num(0.0)
            proposed = z[live].index_add(1, self.free, step)
            found = self.energy(proposed, live)
            better = found < energy[live]
            z[live] = torch.where(better[:, None], proposed, z[live])
            energy[live] = torch.where(better, found, energy[live])
            damping[live] = torch.where(better, damping[live] / 5, damping[live] * 5).clamp(
                1e-9, 1e9
            )
            live = live[(step * force).sum(1) > _TOLERANCE]
            if not live.numel():
                break
        _, curvature = self.force_and_curvature(z, index)
        factor, info = torch.linalg.cholesky_ex(curvature)
        identity = torch.eye(len(self.free), dtype=factor.dtype, device=z.device)
        broken = (info != 0) | ~factor.isfinite().all(-1).all(-1)
        # Without numbers there is no width either: about that of the bounds stands for it.
        factor = torch.where(broken[:, None, None], identity, factor)
        return z, torch.linalg.solve_triangular(factor, identity, upper=False).mT

    def _cast(self, z: Tensor) -> Tensor:
        return z.to(self._problem.images.dtype)

    def _jacobian_terms(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """First and second derivatives of ``log dp/dz`` by ``z``, ``(b, F)`` each."""
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            slope = self._problem.bounds.forward(leaf, index)[1][:, self.free]
            (first,) = torch.autograd.grad(slope.log().sum(), leaf, create_graph=True)
            (second,) = torch.autograd.grad(first.sum(), leaf)
        return first.detach()[:, self.free], second[:, self.free]


def _solve(factor: Tensor, vector: Tensor) -> Tensor:
    return torch.cholesky_solve(vector[..., None], factor)[..., 0]
