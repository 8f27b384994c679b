"""Elliptical Gaussian profile."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from lensphys.ellipticity import stretch
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import LightProfile, clamp_far, count_points, in_widths
from lensphys.parameters import Parameter, parameter


def gaussian_brightness(
    x: Tensor, y: Tensor, amp: Tensor, sigma: Tensor, e1: Tensor, e2: Tensor
) -> Tensor:
    """Surface brightness ``amp / (2 pi sigma^2) exp(-R^2 / (2 sigma^2))`` about the origin.

    ``R^2 = q x^2 + y^2 / q`` in the frame of the ellipse: the density of a bivariate normal
    distribution with standard deviations ``sigma / sqrt(q)`` and ``sigma sqrt(q)``.
    """
    width = torch.sqrt(1 - e1 * e1 - e2 * e2) * sigma
    u, v = (in_widths(w, width) for w in stretch(x, y, e1, e2))
    return amp / (2 * math.pi * sigma * sigma) * torch.exp(-0.5 * (u * u + v * v))


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Gaussian(LightProfile):
    """Elliptical Gaussian, lenstronomy's ``GAUSSIAN_ELLIPSE``.

    Args:
        amp: total flux; the ellipticity leaves it as it is.
        sigma: circularised standard deviation, arcsec.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")

    amp: Parameter = parameter(unit="flux", low=0.0)
    sigma: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        x, y = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        return gaussian_brightness(x, y, p["amp"], p["sigma"], p["e1"], p["e2"])

    def points_along(self, width: float) -> int:
        return count_points(width, self.sigma, self.e1, self.e2)
