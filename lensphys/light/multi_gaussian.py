"""Concentric Gaussians of one shape: the light of a galaxy, whatever its profile."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.arrays import is_traced
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import clamp_far, count_points
from lensphys.light.expansion import Expansion
from lensphys.light.gaussian import gaussian_brightness
from lensphys.parameters import Parameter, check_range, parameter


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class MultiGaussian(Expansion):
    """Multi-Gaussian expansion, lenstronomy's ``MULTI_GAUSSIAN_ELLIPSE``.

    Emsellem, Monnet & Bacon 1994 (A&A 285, 723); Cappellari 2002 (MNRAS 333, 400): some twenty
    Gaussians, of widths in geometric progression and amplitudes that are not negative, follow the
    profiles of galaxies to a per cent.

    Args:
        amp: total flux of each Gaussian, ``(K,)`` or ``(B, K)``.
        sigma: circularised standard deviation of each, arcsec, ``(K,)`` or ``(B, K)``.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)`` of all.
        center_x, center_y: centre of all, arcsec.

    Raises:
        ValueError: also for a width out of range.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")
    _each: ClassVar[tuple[str, ...]] = ("amp", "sigma")

    sigma: Tensor | NDArray[np.floating]
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("sigma", torch.as_tensor(self.sigma), LEAST, MOST, False)

    def _count(self) -> int:
        return self.sigma.shape[-1]

    def basis(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        dx, dy = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        dx, dy = torch.broadcast_tensors(dx, dy)
        # The axis of the Gaussians stands before those of the map.
        e1, e2 = (p[name].unsqueeze(-3) if p[name].ndim else p[name] for name in ("e1", "e2"))
        sigma = torch.as_tensor(self.sigma).to(x.device, x.dtype)[..., None, None]
        one = torch.ones_like(sigma)
        return gaussian_brightness(dx.unsqueeze(-3), dy.unsqueeze(-3), one, sigma, e1, e2)

    def points_along(self, width: float) -> int:
        sigma = torch.as_tensor(self.sigma)
        if is_traced(sigma):
            return 4
        return count_points(width, float(sigma.min()), self.e1, self.e2)
