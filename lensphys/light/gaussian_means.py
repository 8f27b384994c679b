"""Mean of an elliptical Gaussian over a pixel, be it narrower than the pixel or wider.

A Gaussian that is wide is expanded about the middle of the pixel, to fourth order in its width.
For others the integral along one side of the pixel is an error function, whatever the ellipse, and
that along the other side a Gauss-Legendre quadrature, over that part of the pixel where there is
light. It runs along the axis on which the Gaussian is longer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lensphys.arrays import is_traced
from lensphys.ellipticity import stretch
from lensphys.light.base import gauss_legendre, in_widths
from lensphys.parameters import Parameter

#: Widths of a pixel, in standard deviations across the ellipse, up to which the expansion is exact
#: to 1e-6 of the peak.
_WIDE = 0.4
#: Points of a quadrature, and the length, in units of the shortest feature along it, up to which
#: they are exact to 1e-6 of the peak.
_POINTS = ((4, 1.2), (8, 4.5), (16, 11.0), (32, 25.0), (64, math.inf))
#: Those of a Gaussian whose shape is not known, under a transform.
_UNKNOWN = 16
#: Standard deviations of a Gaussian beyond which there is no light.
_REACH = 6.0


def count_mean_points(width: float, sigma: Tensor, e1: Parameter, e2: Parameter) -> int:
    """Return the points of the quadrature of :func:`gaussian_means`, 0 for the expansion.

    Args:
        width: of a pixel, arcsec.
        sigma: circularised standard deviations, arcsec.
        e1, e2: ellipticities, of a shape that goes with that of ``sigma``.
    """
    sigma, e1, e2 = (torch.as_tensor(value).detach() for value in (sigma, e1, e2))
    if any(is_traced(value) for value in (sigma, e1, e2)):
        return _UNKNOWN
    e1, e2, sigma = (value.double() for value in (e1.to(sigma.device), e2.to(sigma.device), sigma))
    modulus = torch.sqrt(e1 * e1 + e2 * e2)
    across = sigma * torch.sqrt((1 - modulus) / (1 + modulus))
    if bool((width < _WIDE * across).all()):
        return 0
    rest = 1 - modulus * modulus
    longer = sigma * torch.sqrt(((1 + e1.abs()) ** 2 + e2 * e2) / rest)
    # A tilted Gaussian has an edge that the quadrature crosses.
    feature = longer * (rest / (2 * e2.abs()).clamp_min(1e-300)).clamp_max(1.0)
    length = float(((2 * _REACH * longer).clamp_max(width) / feature).max())
    return next(points for points, longest in _POINTS if length <= longest)


def gaussian_means(
    x: Tensor, y: Tensor, width: float, sigma: Tensor, e1: Tensor, e2: Tensor, points: int
) -> Tensor:
    """Mean surface brightness over square pixels of Gaussians of unit flux about the origin.

    Args:
        x, y: middle of each pixel, arcsec.
        width: of a pixel, arcsec.
        sigma, e1, e2: as of :class:`lensphys.Gaussian`, aligned with ``x, y``.
        points: see :func:`count_mean_points`.
    """
    if not points:
        return _expand(x, y, width, sigma, e1, e2)
    # The longer of the two axes first, and all lengths in units of sigma.
    swapped = e1 < 0
    x, y = torch.where(swapped, y, x), torch.where(swapped, x, y)
    low, high = (in_widths(x + edge, sigma) for edge in (-0.5 * width, 0.5 * width))
    below, above = (in_widths(y + edge, sigma) for edge in (-0.5 * width, 0.5 * width))
    rest = 1 - e1 * e1 - e2 * e2
    # Not abs, whose slope at a round Gaussian is none.
    b, c = -2 * e2 / rest, ((1 + torch.where(swapped, -e1, e1)) ** 2 + e2 * e2) / rest
    deviation, scale = torch.sqrt(c), torch.sqrt(0.5 * c)
    most = _REACH * deviation
    low, high = (torch.maximum(torch.minimum(edge, most), -most) for edge in (low, high))
    tilt = scale * b / c
    total = torch.zeros_like(low * below)
    for place, weight in zip(*gauss_legendre(points), strict=True):
        at = 0.5 * (low + high) + place * (high - low)
        between = torch.erf(scale * above + tilt * at) - torch.erf(scale * below + tilt * at)
        total = total + weight * torch.exp(-0.5 * (at / deviation) ** 2) * between
    # The mean of the integral over the pixel, of area width^2.
    return total * (high - low) * (0.5 / math.sqrt(2 * math.pi) / width**2) / deviation


def _expand(x: Tensor, y: Tensor, width: float, sigma: Tensor, e1: Tensor, e2: Tensor) -> Tensor:
    """Expand the mean to fourth order in the width of the pixels."""
    scale = torch.sqrt(1 - e1 * e1 - e2 * e2) * sigma
    u, v = (in_widths(w, scale) for w in stretch(x, y, e1, e2))
    # Matrix of the quadratic form of the exponent and its gradient, in units of the pixel.
    unit = width / scale
    a, b, c = (
        unit * unit * entry for entry in ((1 - e1) ** 2 + e2 * e2, -2 * e2, (1 + e1) ** 2 + e2 * e2)
    )
    g, h = unit * ((1 - e1) * u - e2 * v), unit * ((1 + e1) * v - e2 * u)
    g2, h2 = g * g, h * h
    second = g2 - a + h2 - c
    fourth = (g2 - 6 * a) * g2 + 3 * a * a + (h2 - 6 * c) * h2 + 3 * c * c
    mixed = (g2 - a) * (h2 - c) - 4 * b * g * h + 2 * b * b
    brightness = torch.exp(-0.5 * (u * u + v * v)) / (2 * math.pi * sigma * sigma)
    return brightness * (1 + second / 24 + fourth / 1920 + mixed / 576)
