"""Uniform line of mass, such as a vortex in a halo of axions."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.kernels import launch
from lensphys.lengths import MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST, MOST_STEEP
from lensphys.parameters import Parameter, parameter

#: Squared distance (arcsec^2) below which the singular end points are cut off.
_R2_MIN = 1e-16
#: Below this ``(half_length / r)^2`` the power series about the point mass is used: the closed form
#: divides by the length.
_SERIES_BELOW = 0.04
#: Terms of the series; the next one is below 1e-17.
_TERMS = 12
#: Least half length (arcsec) in the sum over many lines.
_POINT_BELOW = 1e-12


def uniform_line_deflection(
    a: Tensor, b: Tensor, theta_E: Tensor, half_length: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of a uniform line from ``(-half_length, 0)`` to ``(half_length, 0)``.

    The integral of the point mass ``conj(alpha) = theta_E^2 / (z - t)`` (Schneider, Ehlers & Falco
    1992, Gravitational Lenses, eq. 2.6b, in the complex notation of Bourassa & Kantowski 1975) over
    its length: ``conj(alpha) = theta_E^2 / (2 L) ln((z + L) / (z - L))``, cut along the line, and
    ``theta_E^2 / z sum_k (L / z)^(2 k) / (2 k + 1)`` far away.
    """
    r2 = (a * a + b * b).clamp_min(_R2_MIN)
    far = half_length * half_length < _SERIES_BELOW * r2

    length = torch.where(far, 1.0, half_length)
    plus, minus = ((a + sign * length) ** 2 + b * b for sign in (1, -1))
    at_end = torch.minimum(plus, minus) < _R2_MIN
    along = 0.5 * torch.log(plus.clamp_min(_R2_MIN) / minus.clamp_min(_R2_MIN))
    # atan2 has no derivative at (0, 0), which is an end point. Adding 0 turns -0 into 0.
    sine = torch.where(at_end, 0.0, 2 * length * b) + 0.0
    cosine = torch.where(at_end, 1.0, (a - length) * (a + length) + b * b)
    across = torch.atan2(sine, cosine)
    # On the line itself the mean of both sides, which is that of a chain of point masses.
    across = across - math.pi * ((sine == 0) & (cosine < 0)).to(a.dtype)

    # (L / z)^2 as a complex number; the ratio first, whose square stays in the range of float32.
    ratio = torch.where(far, half_length / torch.sqrt(r2), 0.0)
    cos, sin = a / torch.sqrt(r2), -b / torch.sqrt(r2)
    wx, wy = ratio * ratio * (cos * cos - sin * sin), 2 * ratio * ratio * cos * sin
    series_x, series_y = torch.full_like(wx, 1 / (2 * _TERMS + 1)), torch.zeros_like(wy)
    for k in range(_TERMS - 1, -1, -1):
        series_x, series_y = (
            1 / (2 * k + 1) + (wx * series_x - wy * series_y),
            wx * series_y + wy * series_x,
        )
    # conj(alpha) is theta_E^2 conj(z) / r^2 times the series.
    theta2 = theta_E * theta_E
    far_a, far_b = (a * series_x + b * series_y) / r2, (b * series_x - a * series_y) / r2
    alpha_a = torch.where(far, far_a, along / (2 * length))
    alpha_b = torch.where(far, far_b, across / (2 * length))
    return theta2 * alpha_a, theta2 * alpha_b


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class UniformLine(MassProfile):
    """Uniform line of mass; a point mass for a length of 0, and far away.

    The deflection across the line jumps by ``pi theta_E^2 / half_length`` from one side to the
    other; on the line itself it is the mean of both. The logarithms at the end points are cut off
    at 1e-8 arcsec.

    Args:
        theta_E: Einstein radius of the same mass in one point, arcsec.
        half_length: half the length of the line, arcsec.
        phi: angle of the line to the x axis, rad.
        center_x, center_y: middle of the line, arcsec.
    """

    theta_E: Parameter = parameter(unit="arcsec", low=0.0, high=MOST_STEEP)
    half_length: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    phi: Parameter = parameter(0.0, unit="rad")
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p, a, b, _, _ = self._geometry(x, y)
        length, theta2 = p["half_length"], p["theta_E"] ** 2
        alpha_a, alpha_b = uniform_line_deflection(a, b, p["theta_E"], length)
        ends = ((a + sign * length) ** 2 + b * b for sign in (1, -1))
        logarithm = sum(torch.log(d.clamp_min(_R2_MIN)) for d in ends)
        return a * alpha_a + b * alpha_b + theta2 * (0.25 * logarithm - 1)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        p, a, b, cos, sin = self._geometry(x, y)
        alpha_a, alpha_b = uniform_line_deflection(a, b, p["theta_E"], p["half_length"])
        return cos * alpha_a - sin * alpha_b, sin * alpha_a + cos * alpha_b

    def sum_deflections(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> Vector | None:
        """Sum over members; see :meth:`lensphys.mass.point_mass.PointMass.sum_deflections`."""
        p = self.align_members(x)
        # As good as a point mass, which has no closed form of its own there.
        length = p["half_length"].clamp_min(_POINT_BELOW)
        shape = length, torch.cos(p["phi"]), torch.sin(p["phi"])
        theta2, at = p["theta_E"] ** 2, (p["center_x"], p["center_y"])
        return launch.sum_population(
            "uniform_line.add_deflections", x, y, mask, theta2, *shape, *at
        )

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # psi_xx - i psi_xy = -theta_E^2 / (z^2 - L^2); no convergence off the line.
        p, a, b, cos, sin = self._geometry(x, y)
        length = p["half_length"]
        plus, minus = (((a + s * length) ** 2 + b * b).clamp_min(_R2_MIN) for s in (1, -1))
        # One division after the other: their product could leave the range of float32.
        weight = p["theta_E"] ** 2 / plus
        psi_aa = -weight * (((a - length) * (a + length) - b * b) / minus)
        psi_ab = -weight * (2 * a * b / minus)
        cos2, sin2 = (cos - sin) * (cos + sin), 2 * cos * sin
        psi_xx = cos2 * psi_aa - sin2 * psi_ab
        return psi_xx, sin2 * psi_aa + cos2 * psi_ab, -psi_xx

    def _geometry(
        self, x: Tensor, y: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, Tensor]:
        p = self.align(x)
        x, y = x - p["center_x"], y - p["center_y"]
        cos, sin = torch.cos(p["phi"]), torch.sin(p["phi"])
        return p, cos * x + sin * y, cos * y - sin * x, cos, sin
