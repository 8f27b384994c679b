"""First-order model of images near their fits, and the part of a change that a fit absorbs."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from lensphys.fitting.problem import Problem
from lensphys.products import gram, product

#: Ridge on the unit diagonal of the normal matrix: directions weaker than that are rounding.
_RIDGE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Absorption:
    """Residuals of ``b`` images, and what their fits would absorb of a change, float64.

    With the Jacobian J of everything that was fitted and the inverse covariance R of its priors, a
    fit absorbs ``J (J^T J + R)^-1 J^T = Y^T Y`` of a change, with ``Y = L^-1 J`` and ``L L^T = J^T
    J + R``. Where a model is not finite, all of it is NaN.

    Attributes:
        residual: ``(b, ny, nx)``, sigma.
        rows: Y, ``(b, N, ny, nx)``.
        pull: ``L^-1`` of the downhill gradient, ``(b, N)``: 0 at the best fit, but for rounding and
            for what the tolerance of the fit has left.
        slopes: minus the gradient of the source at every ray, ``(b, 2, Ny, Nx)``, flux per
            arcsec^3: the change of the brightness with a deflection.
        weight: one over the noise, ``(b, ny, nx)``.
    """

    residual: Tensor
    rows: Tensor
    pull: Tensor
    slopes: Tensor
    weight: Tensor

    def leave(self, changes: Tensor) -> Tensor:
        """Return what the fit leaves of changes ``(b, n, ny, nx)`` in units of the noise."""
        rows, flat = self.rows.flatten(2), changes.to(self.rows).flatten(2)
        left: Tensor = flat - product(product(flat, rows.mT), rows)
        return left.view(changes.shape)

    @property
    def due(self) -> Tensor:
        """Residual ``(b, ny, nx)`` after the step of the fit that is still due."""
        step = product(self.pull[:, None], self.rows.flatten(2)).view(self.residual.shape)
        return self.residual - step


def linearise(problem: Problem, z: Tensor, index: Tensor) -> Absorption:
    """Linearise the models of some images.

    Args:
        problem: of the fit.
        z: transformed parameters ``(b, P)``; see :class:`lensphys.fitting.problem.Problem`.
        index: of the images, ``(b,)``.
    """
    near = problem.linearise(z, index)
    flat, residual = near.jacobian.double().flatten(2), near.residual.double()
    normal = gram(flat) + near.precision.double()
    diagonal = normal.diagonal(dim1=1, dim2=2)
    scale = torch.where(diagonal > 0, diagonal, 1.0).rsqrt() * (diagonal > 0)
    normal = normal * scale[:, :, None] * scale[:, None]
    empty = (diagonal <= 0).to(normal)
    factor, info = torch.linalg.cholesky_ex(normal + torch.diag_embed(empty + _RIDGE))
    # A model that is not finite sees nothing.
    factor = torch.where((info == 0)[:, None, None], factor, torch.nan)
    rows = torch.linalg.solve_triangular(factor, flat * scale[:, :, None], upper=False)

    bounds, count = problem.bounds, z.shape[1]
    by_priors = problem.priors.pull(bounds.forward(z, index)[0], index) * ~bounds.held
    by_data = product(flat[:, :count], residual.flatten(1)[..., None])[..., 0]
    # Amplitudes that are solved for at each step are at their best.
    pull = torch.cat([by_data + by_priors, normal.new_zeros(normal[:, count:, 0].shape)], 1)
    pull = torch.linalg.solve_triangular(factor, (pull * scale)[..., None], upper=False)
    return Absorption(
        residual=residual,
        rows=rows.unflatten(2, near.jacobian.shape[-2:]),
        pull=pull[..., 0],
        slopes=-near.slopes.double(),
        weight=problem.weight[index].double(),
    )
