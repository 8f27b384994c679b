"""Elliptical ring of Gaussian profile."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from lensphys.ellipticity import elliptical_radius
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import LightProfile, clamp_far, count_points, in_widths
from lensphys.parameters import Parameter, parameter

#: Radius (arcsec) inside which the profile is flat: it comes to a shallow point at the centre.
_R_MIN = 1e-4


def ring_area(R_ring: Tensor, sigma: Tensor) -> Tensor:
    """Integral over the plane of a ring of unit crest, arcsec^2.

    ``2 pi int_0^inf R exp(-(R - R_ring)^2 / (2 sigma^2)) dR`` in closed form.
    """
    ratio = R_ring / (math.sqrt(2) * sigma)
    disc = sigma * sigma * torch.exp(-ratio * ratio)
    annulus = R_ring * sigma * math.sqrt(math.pi / 2) * (1 + torch.erf(ratio))
    return 2 * math.pi * (disc + annulus)


def ring_brightness(
    x: Tensor, y: Tensor, amp: Tensor, R_ring: Tensor, sigma: Tensor, e1: Tensor, e2: Tensor
) -> Tensor:
    """Surface brightness of a ring of total flux ``amp`` about the origin.

    ``amp exp(-(R - R_ring)^2 / (2 sigma^2)) / ring_area`` with ``R = sqrt(q x^2 + y^2 / q)``.
    """
    distance = in_widths(elliptical_radius(x, y, e1, e2, _R_MIN) - R_ring, sigma)
    return amp / ring_area(R_ring, sigma) * torch.exp(-0.5 * distance * distance)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Ring(LightProfile):
    """Elliptical ring with a Gaussian cross-section, such as that of a ring galaxy.

    ``I(R) ~ exp(-(R - R_ring)^2 / (2 sigma^2))`` with ``R = sqrt(q x^2 + y^2 / q)`` in the frame of
    the ellipse. Without radius it is a :class:`lensphys.Gaussian`.

    Args:
        amp: total flux; the ellipticity leaves it as it is.
        R_ring: circularised radius of the crest, arcsec.
        sigma: standard deviation of the cross-section, circularised, arcsec.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")

    amp: Parameter = parameter(unit="flux", low=0.0)
    R_ring: Parameter = parameter(unit="arcsec", low=0.0, high=MOST)
    sigma: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        x, y = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        return ring_brightness(x, y, p["amp"], p["R_ring"], p["sigma"], p["e1"], p["e2"])

    def points_along(self, width: float) -> int:
        return count_points(width, self.sigma, self.e1, self.e2)
