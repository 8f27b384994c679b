"""Elliptical Gaussian profile."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from lensphys.ellipticity import stretch
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import LightProfile, clamp_far, in_widths
from lensphys.light.gaussian_means import count_mean_points, gaussian_means
from lensphys.parameters import Parameter, parameter

#: Distance, in standard deviations, beyond which no Gaussian shines, whatever its axis ratio.
_DARK = 1e4


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


def clamp_near(offset: Tensor, sigma: Tensor) -> Tensor:
    """Bring an offset back to where a Gaussian of any shape is dark and its slopes are finite."""
    return torch.clamp(offset, -_DARK * sigma, _DARK * sigma)


def radius_jacobian(
    x: Tensor, y: Tensor, e1: Tensor, e2: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Squared circularised elliptical radius ``R^2`` about the origin, arcsec^2, and its slopes.

    The derivatives are those with respect to ``e1``, ``e2`` and the centre, by name.
    """
    u, v = stretch(x, y, e1, e2)
    inverse = 1 / (1 - e1 * e1 - e2 * e2)
    radius2 = (u * u + v * v) * inverse
    twice = 2 * inverse
    return radius2, {
        "e1": twice * (v * y - u * x) + twice * e1 * radius2,
        "e2": twice * e2 * radius2 - twice * (u * y + v * x),
        "center_x": twice * (e2 * v - (1 - e1) * u),
        "center_y": twice * (e2 * u - (1 + e1) * v),
    }


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

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        p = self.align(x)
        amp, sigma = p["amp"], p["sigma"]
        x, y = (clamp_near(x - p["center_x"], sigma), clamp_near(y - p["center_y"], sigma))
        unit = gaussian_brightness(x, y, torch.ones_like(amp), sigma, p["e1"], p["e2"])
        brightness = amp * unit
        radius2, slopes = radius_jacobian(x, y, p["e1"], p["e2"])
        by_radius2 = -0.5 * brightness / sigma**2
        jacobian = {
            "amp": unit.expand(brightness.shape),
            "sigma": -2 * (by_radius2 * radius2 + brightness) / sigma,
        }
        return brightness, jacobian | {name: by_radius2 * s for name, s in slopes.items()}

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        return self._mean(x, y, width, self._count_points(width))

    def mean_brightness_jacobian(
        self, x: Tensor, y: Tensor, width: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        points = self._count_points(width)
        return self._differentiate(lambda profile: profile._mean(x, y, width, points), x)

    def _mean(self, x: Tensor, y: Tensor, width: float, points: int) -> Tensor:
        p = self.align(x)
        x, y = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        means = gaussian_means(x, y, width, p["sigma"], p["e1"], p["e2"], points)
        return p["amp"] * means

    def _count_points(self, width: float) -> int:
        return count_mean_points(width, torch.as_tensor(self.sigma), self.e1, self.e2)
