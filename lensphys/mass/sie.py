"""Singular isothermal ellipsoid."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from lensphys import fit_range
from lensphys.arrays import is_traced
from lensphys.ellipticity import elliptical_radius, stretch
from lensphys.kernels import launch
from lensphys.lengths import MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, needs_backward, parameter

#: Below this ellipticity the power series in it is used: with six terms it is exact to 1e-19, and
#: it has the gradient at q = 1 that the closed form, with its position angle, lacks.
_SERIES_BELOW = 1e-3
#: The same for the derivatives with respect to the ellipticity, whose closed form divides by it.
_JACOBIAN_SERIES_BELOW = 0.03
#: Softening of the centre, arcsec; lenstronomy's SIE has the same core.
_CORE = 1e-10


def sie_deflection(x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor) -> Vector:
    """Deflection of a SIE at the origin.

    Kormann, Schneider & Bartelmann 1994 (A&A 284, 285), eq. 27: in the frame of the ellipse
    ``alpha = theta_E sqrt(q) / f * (asin(f x / r), asinh(f / q * y / r))``, ``f^2 = 1 - q^2``.
    """
    inverse = torch.rsqrt((x * x + y * y).clamp_min(_CORE**2))
    e = e1 * e1 + e2 * e2
    elliptical = e > _SERIES_BELOW**2
    if _holds_everywhere(elliptical):
        return _closed_form(x * inverse, y * inverse, theta_E, e1, e2)
    # The inner `where` keeps infinite derivatives of the branch not taken out of the backward pass.
    e1_safe, e2_safe = torch.where(elliptical, e1, 0.5), torch.where(elliptical, e2, 0.0)
    closed = _closed_form(x * inverse, y * inverse, theta_E, e1_safe, e2_safe)
    e1, e2 = torch.where(elliptical, 0.0, e1), torch.where(elliptical, 0.0, e2)
    series = _series(x, y, theta_E, e1, e2)
    return (
        torch.where(elliptical, closed[0], series[0]),
        torch.where(elliptical, closed[1], series[1]),
    )


def _closed_form(cos: Tensor, sin: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor) -> Vector:
    """Equation 27 in the direction ``(cos, sin)``; the rotations are folded into the scales."""
    modulus = torch.sqrt(e1 * e1 + e2 * e2)
    phi = 0.5 * torch.atan2(e2, e1)
    c, s = torch.cos(phi), torch.sin(phi)
    q = (1 - modulus) / (1 + modulus)
    # In float32 f rounds to 1 for q below 3e-4; the sine must stay below 1 with its own rounding.
    f = (2 * torch.sqrt(modulus) / (1 + modulus)).clamp_max(1 - 8 * torch.finfo(e1.dtype).eps)
    along = torch.asin(torch.addcmul(f * c * cos, f * s, sin))
    across = _asinh(torch.addcmul(f / q * c * sin, -f / q * s, cos))
    scale = theta_E * torch.sqrt(q) / f
    c, s = scale * c, scale * s
    return torch.addcmul(c * along, -s, across), torch.addcmul(c * across, s, along)


def _asinh(v: Tensor) -> Tensor:
    """``torch.asinh`` by functions that torch vectorises, with an error of one unit of rounding."""
    # From |v| with the sign of v: the sum below loses its digits for negative v. Not v.abs(), whose
    # gradient is 0 at v = 0, on the axis of the ellipse.
    one = torch.ones((), dtype=v.dtype, device=v.device)
    sign = torch.copysign(one, v)
    v = sign * v
    return sign * torch.log(v + torch.sqrt(torch.addcmul(one, v, v)))


def _series(x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor) -> Vector:
    """The isothermal case (t = 1) of Tessore & Metcalf 2015 (A&A 580, A79), eq. 13.

    In the complex stretched position ``W``: ``alpha = theta_E sqrt(1 - |e|^2) W/|W| T(u)`` with
    ``u = conj(e) W^2 / |W|^2`` and ``T(u) = 2F1(1, 1/2; 3/2; -u) = sum_k (-u)^k / (2k + 1)``.
    """
    wx, wy = _direction(x, y, e1, e2)
    ux, uy = _argument(wx, wy, e1, e2)
    tx, ty = _horner(ux, uy, (11, 9, 7, 5, 3, 1))
    scale = theta_E * torch.sqrt(1 - e1 * e1 - e2 * e2)
    return scale * (wx * tx - wy * ty), scale * (wx * ty + wy * tx)


def _direction(x: Tensor, y: Tensor, e1: Tensor, e2: Tensor) -> Vector:
    """``W / |W|``, the direction of the stretched position; 0 at the very centre."""
    wx, wy = stretch(x, y, e1, e2)
    inverse = torch.rsqrt((wx * wx + wy * wy).clamp_min(_CORE**2))
    return wx * inverse, wy * inverse


def _argument(wx: Tensor, wy: Tensor, e1: Tensor, e2: Tensor) -> Vector:
    """``u = conj(e) w^2``."""
    cos2, sin2 = wx * wx - wy * wy, 2 * wx * wy
    return e1 * cos2 + e2 * sin2, e1 * sin2 - e2 * cos2


def _horner(ux: Tensor, uy: Tensor, denominators: tuple[int, ...]) -> Vector:
    """``sum_k (-u)^k / d_k``, the highest power first."""
    highest, *rest = denominators
    sx, sy = torch.full_like(ux, 1 / highest), torch.zeros_like(uy)
    for d in rest:
        sx, sy = 1 / d - (ux * sx - uy * sy), -(ux * sy + uy * sx)
    return sx, sy


def sie_hessian(
    x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Hessian of a SIE at the origin: ``kappa = theta_E / (2 R)``, ``gamma = -kappa z^2 / |z|^2``.

    Kormann, Schneider & Bartelmann 1994 (A&A 284, 285), eq. 37-39.
    """
    kappa = theta_E / (2 * elliptical_radius(x, y, e1, e2, floor=_CORE))
    r2 = (x * x + y * y).clamp_min(_CORE**2)
    # At the very centre, which has no direction, the Hessian is that of the convergence alone.
    core = torch.where((x == 0) & (y == 0), kappa, 0.0)
    return 2 * kappa * y * y / r2 + core, -2 * kappa * x * y / r2, 2 * kappa * x * x / r2 + core


def sie_deflection_by_ellipticity(
    x: Tensor, y: Tensor, theta_E: Tensor, e1: Tensor, e2: Tensor, alpha: Vector
) -> tuple[Vector, Vector]:
    """Derivatives of the deflection ``alpha`` of a SIE at the origin with respect to e1 and e2.

    With ``a = alpha_x + i alpha_y``, ``s^2 = 1 - |e|^2`` and ``h = theta_E / s * W / |W|``, from
    Tessore & Metcalf 2015, eq. 13::

        da/de       = -(conj(e) a / s^2 + conj(h)) / 2
        da/dconj(e) = ((h - a) / conj(e) - e a / s^2) / 2
    """
    ax, ay = alpha
    e = e1 * e1 + e2 * e2
    s2 = 1 - e
    wx, wy = _direction(x, y, e1, e2)
    scale = theta_E / torch.sqrt(s2)
    hx, hy = scale * wx, scale * wy

    closed = e > _JACOBIAN_SERIES_BELOW**2
    # (h - a) / conj(e) = (h - a) e / |e|^2
    over = 1 / torch.where(closed, e, 1.0)
    dx, dy = hx - ax, hy - ay
    gx, gy = over * (e1 * dx - e2 * dy), over * (e1 * dy + e2 * dx)
    if not _holds_everywhere(closed):
        ux, uy = _argument(wx, wy, e1, e2)
        tx, ty = _horner(ux, uy, (17, 15, 13, 11, 9, 7, 5, 3))
        cos2, sin2 = wx * wx - wy * wy, 2 * wx * wy
        tx, ty = e1 + s2 * (cos2 * tx - sin2 * ty), e2 + s2 * (cos2 * ty + sin2 * tx)
        gx = torch.where(closed, gx, hx * tx - hy * ty)
        gy = torch.where(closed, gy, hx * ty + hy * tx)

    # e a and conj(e) a, over s^2
    e1, e2 = e1 / s2, e2 / s2
    by_e = -0.5 * (e1 * ax + e2 * ay + hx), -0.5 * (e1 * ay - e2 * ax - hy)
    by_conj = 0.5 * (gx - e1 * ax + e2 * ay), 0.5 * (gy - e1 * ay - e2 * ax)
    return (
        (by_e[0] + by_conj[0], by_e[1] + by_conj[1]),
        (by_conj[1] - by_e[1], by_e[0] - by_conj[0]),
    )


def _holds_everywhere(condition: Tensor) -> bool:
    """Tell if a condition holds for the whole batch; False if its values are not at hand."""
    return condition.device.type == "cpu" and not is_traced(condition) and bool(condition.all())


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SIE(MassProfile):
    """Singular isothermal ellipsoid, ``kappa = theta_E / (2 sqrt(q x^2 + y^2 / q))``.

    Args:
        theta_E: circularised Einstein radius, arcsec.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=MOST, fit=fit_range.EINSTEIN_RADIUS)
    e1: Parameter = parameter(0.0, fit=fit_range.E1)
    e2: Parameter = parameter(0.0, fit=fit_range.E2)
    center_x: Parameter = parameter(
        0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST, fit=fit_range.CENTER_X
    )
    center_y: Parameter = parameter(
        0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST, fit=fit_range.CENTER_Y
    )

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        # The potential is homogeneous of degree one about its centre (Euler's theorem).
        p = self.align(x)
        alpha_x, alpha_y = self.deflection(x, y)
        return (x - p["center_x"]) * alpha_x + (y - p["center_y"]) * alpha_y

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        p = self.align(x)
        return _fast_deflection(x, y, *p.values())

    def deflection_jacobian(self, x: Tensor, y: Tensor) -> tuple[Vector, dict[str, Vector]]:
        p = self.align(x)
        at = x - p["center_x"], y - p["center_y"], p["theta_E"], p["e1"], p["e2"]
        zero = x.new_zeros(())
        unit = _fast_deflection(*at[:2], torch.ones_like(p["theta_E"]), *at[3:], zero, zero)
        alpha = p["theta_E"] * unit[0], p["theta_E"] * unit[1]
        by_e1, by_e2 = sie_deflection_by_ellipticity(*at, alpha)
        xx, xy, yy = sie_hessian(*at)
        jacobian = {
            "theta_E": unit,
            "e1": by_e1,
            "e2": by_e2,
            "center_x": (-xx, -xy),
            "center_y": (-xy, -yy),
        }
        return alpha, jacobian

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.align(x)
        return sie_hessian(x - p["center_x"], y - p["center_y"], p["theta_E"], p["e1"], p["e2"])


def _fast_deflection(*inputs: Tensor) -> Vector:
    """Deflection by position and parameters, by a compiled loop and its gradients if they can."""
    if needs_backward(*inputs):
        alpha_x, alpha_y = _Deflection.apply(*inputs)
        return alpha_x, alpha_y
    return _compiled_deflection(*inputs) or _centred_deflection(*inputs)


def _compiled_deflection(*inputs: Tensor) -> Vector | None:
    given = launch.prepare(*inputs)
    if given is None:
        return None
    alpha = given.empty_maps(2)
    given.run("sie.fill_deflection", (), *alpha.numpy())
    alpha_x, alpha_y = alpha.view(2, *given.shape).unbind()
    return alpha_x, alpha_y


def _centred_deflection(
    x: Tensor,
    y: Tensor,
    theta_E: Tensor,
    e1: Tensor,
    e2: Tensor,
    center_x: Tensor,
    center_y: Tensor,
) -> Vector:
    return sie_deflection(x - center_x, y - center_y, theta_E, e1, e2)


class _Deflection(torch.autograd.Function):
    """Deflection, whose backward pass is the closed form of its derivatives.

    A third of the time and of the memory of going back through every operation.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Vector:
        ctx.save_for_backward(*inputs)
        ctx.unit = None
        if (alpha := _compiled_deflection(*inputs)) is not None:
            return alpha
        x, y, theta_E, e1, e2, center_x, center_y = inputs
        ctx.unit = sie_deflection(x - center_x, y - center_y, torch.ones_like(e1), e1, e2)
        return theta_E * ctx.unit[0], theta_E * ctx.unit[1]

    @staticmethod
    def backward(ctx: Any, gx: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
        inputs, needs = ctx.saved_tensors, ctx.needs_input_grad
        shapes = [v.shape if need else None for v, need in zip(inputs, needs, strict=True)]
        again = torch.is_grad_enabled()  # the gradient will itself be differentiated
        given = None if again or not launch.is_possible(gx, gy) else launch.prepare(*inputs)
        if given is not None:
            return tuple(given.gradients("sie.fill_gradients", (), (gx, gy), shapes))
        x, y, theta_E, e1, e2, center_x, center_y = inputs
        x, y, one, zero = x - center_x, y - center_y, torch.ones_like(e1), x.new_zeros(())
        unit = ctx.unit
        if again or unit is None:
            unit = _fast_deflection(x, y, one, e1, e2, zero, zero)
        maps: list[Tensor | None] = [None] * 7
        if needs[2]:
            maps[2] = torch.addcmul(gx * unit[0], gy, unit[1])
        gx, gy = theta_E * gx, theta_E * gy
        if any(needs[i] for i in (3, 4)):
            for i, (dx, dy) in enumerate(sie_deflection_by_ellipticity(x, y, one, e1, e2, unit), 3):
                maps[i] = torch.addcmul(gx * dx, gy, dy)
        if any(needs[i] for i in (0, 1, 5, 6)):
            xx, xy, yy = sie_hessian(x, y, one, e1, e2)
            by_x, by_y = torch.addcmul(gx * xx, gy, xy), torch.addcmul(gx * xy, gy, yy)
            maps[0], maps[1], maps[5], maps[6] = by_x, by_y, -by_x, -by_y
        return tuple(
            None if shape is None or value is None else value.sum_to_size(shape)
            for shape, value in zip(shapes, maps, strict=True)
        )
