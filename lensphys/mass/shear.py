"""External shear."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensphys.fit_range import FitRange
from lensphys.kernels import launch
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, needs_backward, parameter


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shear(MassProfile):
    """External shear, ``psi = (gamma1 (x^2 - y^2) + 2 gamma2 x y) / 2``.

    Schneider, Ehlers & Falco 1992, Gravitational Lenses, eq. 5.36 without convergence.

    Args:
        gamma1, gamma2: components of the shear, dimensionless.
        ra_0, dec_0: point without deflection, arcsec.
    """

    gamma1: Parameter = parameter(fit=FitRange(low=-0.5, high=0.5))
    gamma2: Parameter = parameter(fit=FitRange(low=-0.5, high=0.5, odd="xy"))
    ra_0: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    dec_0: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        x, y = x - p["ra_0"], y - p["dec_0"]
        return 0.5 * p["gamma1"] * (x * x - y * y) + p["gamma2"] * x * y

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        p = self.align(x)
        x, y = x - p["ra_0"], y - p["dec_0"]
        gamma1, gamma2 = p["gamma1"], p["gamma2"]
        return torch.addcmul(gamma1 * x, gamma2, y), torch.addcmul(gamma2 * x, -gamma1, y)

    def ray_trace(self, x: Tensor, y: Tensor, alpha_x: Tensor, alpha_y: Tensor) -> Vector:
        """Source position behind the shear and what deflects by ``alpha`` beside it, arcsec."""
        inputs = alpha_x, alpha_y, x, y, *self.align(x).values()
        if launch.is_possible(*inputs) and (given := _batch(*inputs)) is not None:
            if needs_backward(*inputs):
                beta_x, beta_y = _Rays.apply(*inputs)
                return beta_x, beta_y
            return _rays(given, alpha_x, alpha_y)
        shear_x, shear_y = self.deflection(x, y)
        return x - (alpha_x + shear_x), y - (alpha_y + shear_y)

    def deflection_jacobian(self, x: Tensor, y: Tensor) -> tuple[Vector, dict[str, Vector]]:
        p = self.align(x)
        dx, dy, g1, g2 = torch.broadcast_tensors(
            x - p["ra_0"], y - p["dec_0"], p["gamma1"], p["gamma2"]
        )
        jacobian = {"gamma1": (dx, -dy), "gamma2": (dy, dx), "ra_0": (-g1, -g2), "dec_0": (-g2, g1)}
        return self.deflection(x, y), jacobian

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.align(x)
        # Every component has the shape of the whole batch, whichever parameter carries it.
        zeros = 0 * (sum(p.values()) + x)
        return p["gamma1"] + zeros, p["gamma2"] + zeros, zeros - p["gamma1"]


def _batch(
    alpha_x: Tensor, alpha_y: Tensor, x: Tensor, y: Tensor, gamma1: Tensor, *rest: Tensor
) -> launch.Batch | None:
    lead = alpha_x.shape[:-2]
    if alpha_y.shape[:-2] != lead:
        return None
    if lead:
        gamma1 = gamma1.expand(np.broadcast_shapes((*lead, 1, 1), gamma1.shape))
    return launch.prepare(x, y, gamma1, *rest)


def _rays(given: launch.Batch, *alpha: Tensor) -> Vector:
    beta = given.empty_maps(2)
    above = [given.flatten(value) for value in alpha]
    given.run("shear.trace_rays", (), *above, *beta.numpy())
    beta_x, beta_y = beta.view(2, *given.shape).unbind()
    return beta_x, beta_y


class _Rays(torch.autograd.Function):
    """Source positions, with the sums over pixels of the backward pass in one pass too."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Vector:
        ctx.save_for_backward(*inputs[2:])
        ctx.alpha = [value.shape for value in inputs[:2]]
        given = _batch(*inputs)
        assert given is not None  # checked before
        ctx.shape = given.shape
        return _rays(given, *inputs[:2])

    @staticmethod
    def backward(ctx: Any, gx: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
        needs, inputs = ctx.needs_input_grad, ctx.saved_tensors
        by_alpha = [-g.sum_to_size(shape) for g, shape in zip((gx, gy), ctx.alpha, strict=True)]
        if not any(needs[2:]):
            return *by_alpha, *(None for _ in inputs)
        x, y, gamma1, gamma2, ra_0, dec_0 = inputs
        shapes = [v.shape if need else None for v, need in zip(inputs, needs[2:], strict=True)]
        if not torch.is_grad_enabled() and launch.is_possible(gx, gy):
            given = launch.prepare(x, y, gamma1.expand(*ctx.shape[:-2], 1, 1), gamma2, ra_0, dec_0)
            if given is not None:
                found = given.gradients("shear.fill_gradients", (), (gx, gy), shapes)
                return *by_alpha, *found
        dx, dy = x - ra_0, y - dec_0
        across_x, across_y = gamma1 * gx + gamma2 * gy, gamma2 * gx - gamma1 * gy
        by_shear = gy * dy - gx * dx, -gx * dy - gy * dx
        each = gx - across_x, gy - across_y, *by_shear, across_x, across_y
        return *by_alpha, *(
            None if shape is None else value.sum_to_size(shape)
            for value, shape in zip(each, shapes, strict=True)
        )
