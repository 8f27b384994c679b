"""Posterior density of fitted lenses, inside a box."""

from __future__ import annotations

import torch
from torch import Tensor

from lensphys.fitting.problem import Problem

#: Fraction of the range of a parameter that the energy is evaluated away from its ends at least:
#: beyond, the coordinates of the fit have no digits left.
_MARGIN = 1e-9
#: The same of a start: on a wall there is neither inside nor outside.
_OFF = 1e-6


class Posterior:
    """Density of the free parameters of every image, within their bounds.

    Coordinates ``u`` are the parameters, or the logarithms of those whose logarithm is bounded in
    the fit. The prior is flat in the *parameters* inside the bounds, times the Gaussian priors of
    the problem. The coordinates ``z`` of the fit serve less well: a posterior that its bounds cut
    off is bent there.

    Args:
        problem: images and model that were fitted.

    Attributes:
        free: columns of the parameters that are drawn, since they are not fixed.
        low, high: ends of the coordinates, ``(B, F)``, float64.
    """

    def __init__(self, problem: Problem) -> None:
        bounds = problem.bounds
        self._problem = problem.marginalised()
        self.free = torch.nonzero(~bounds.held)[:, 0]
        self._log = bounds.log[self.free]
        self.low, self.high = (
            self._scale(ends[:, self.free].double()) for ends in (bounds.low, bounds.high)
        )

    def locate(self, params: Tensor) -> Tensor:
        """Coordinates ``(B, F)`` of parameters ``(B, P)``, moved into the box and off its walls."""
        off = _OFF * (self.high - self.low)
        u = self._scale(params[:, self.free].double())
        return torch.clamp(u, self.low + off, self.high - off)

    def parameters(self, u: Tensor, index: Tensor) -> Tensor:
        """Parameters ``(b, P)`` of coordinates ``(b, F)``, float64."""
        fixed = self._problem.bounds.forward(torch.zeros_like(self._embed(u)), index)[0]
        value = torch.where(self._log, torch.exp(u), u)
        return fixed.double().index_copy(1, self.free, value)

    def energy(self, u: Tensor, index: Tensor) -> Tensor:
        """Minus the log density ``(b,)``, float64; infinite where the model has no value."""
        z, _ = self._to_fit(u, index)
        energy = self._problem.energy(z, index).double() - (u * self._log).sum(1)
        return torch.where(energy.isfinite(), energy, torch.inf)

    def force(self, u: Tensor, index: Tensor) -> Tensor:
        """Downhill gradient of the energy ``(b, F)``, that of Gauss and Newton; 0 if infinite."""
        z, slope = self._to_fit(u, index)
        gradient = self._problem.equations(z, index)[2][:, self.free] / slope
        return (gradient + self._log).nan_to_num(0.0, 0.0, 0.0)

    def find_width(self, u: Tensor) -> Tensor:
        """Directions of the width of the density at the best fits ``u`` ``(B, F)``.

        Returns:
            ``T`` ``(B, F, F)`` of ``u = centre + T q``, in whose coordinates ``q`` the density is
            about a normal one of unit width: from the Fisher matrix, and the width of the bounds
            for what the data do not constrain.
        """
        index = torch.arange(len(u), device=u.device)
        z, slope = self._to_fit(u, index)
        normal = self._problem.equations(z, index)[1][:, self.free[:, None], self.free]
        fisher = normal / (slope[:, :, None] * slope[:, None])
        # The variance of a uniform distribution is a twelfth of the square of its width.
        ends = self.high - self.low
        fisher = fisher.nan_to_num(0.0, 0.0, 0.0) + torch.diag_embed(12 / ends.square())
        # To unit diagonal first: units of the parameters differ by many orders of magnitude.
        scale = fisher.diagonal(dim1=1, dim2=2).rsqrt()
        factor, info = torch.linalg.cholesky_ex(fisher * scale[:, :, None] * scale[:, None])
        identity = torch.eye(u.shape[1], dtype=u.dtype, device=u.device)
        factor = torch.where((info == 0)[:, None, None], factor, identity)
        inverse = torch.linalg.solve_triangular(factor, identity, upper=False)
        width: Tensor = scale[:, :, None] * inverse.mT
        return width

    def _scale(self, params: Tensor) -> Tensor:
        return torch.where(self._log, torch.log(params.clamp_min(1e-30)), params)

    def _to_fit(self, u: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates ``z`` ``(b, P)`` of the fit, and the slope ``du/dz`` ``(b, F)``."""
        low, width = self.low[index], (self.high - self.low)[index]
        fraction = ((u - low) / width).clamp(_MARGIN, 1 - _MARGIN)
        slope = width * fraction * (1 - fraction)
        return self._embed(torch.logit(fraction)).to(self._problem.images.dtype), slope

    def _embed(self, u: Tensor) -> Tensor:
        """Columns of all parameters, 0 for those that are fixed."""
        held = self._problem.bounds.held
        return u.new_zeros(len(u), len(held)).index_copy(1, self.free, u)
