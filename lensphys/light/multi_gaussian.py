"""Concentric Gaussians of one shape: the light of a galaxy, whatever its profile."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.lengths import LEAST, MOST
from lensphys.light.base import clamp_far
from lensphys.light.expansion import Expansion
from lensphys.light.gaussian import clamp_near, gaussian_brightness, radius_jacobian
from lensphys.light.gaussian_means import count_mean_points, gaussian_means
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

    steep: ClassVar[bool] = True
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
        dx, dy, sigma, e1, e2 = self._align_each(x, y)
        return gaussian_brightness(dx, dy, torch.ones_like(sigma), sigma, e1, e2)

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        p = self.align(x)
        sigma, amp = (torch.as_tensor(v).to(x.device, x.dtype) for v in (self.sigma, self.amp))
        widest = sigma.amax(-1)[..., None, None]
        dx, dy = (clamp_near(v, widest) for v in (x - p["center_x"], y - p["center_y"]))
        radius2, slopes = radius_jacobian(dx, dy, p["e1"], p["e2"])
        exponent = (-0.5 / sigma**2)[..., None, None]
        parts = (amp / (2 * math.pi * sigma**2))[..., None, None] * torch.exp(
            exponent * radius2.unsqueeze(-3)
        )
        by_radius2 = (exponent * parts).sum(-3)
        return parts.sum(-3), {name: by_radius2 * s for name, s in slopes.items()}

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        return self._mean(x, y, width, self._count_points(width))

    def mean_brightness_jacobian(
        self, x: Tensor, y: Tensor, width: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        points = self._count_points(width)
        return self._differentiate(lambda profile: profile._mean(x, y, width, points), x)

    def _mean(self, x: Tensor, y: Tensor, width: float, points: list[int]) -> Tensor:
        """Mean over pixels, with the points that each Gaussian needs."""
        amp = torch.as_tensor(self.amp).to(x.device, x.dtype)[..., None, None]
        dx, dy, sigma, e1, e2 = self._align_each(x, y)
        total: Tensor | None = None
        for count in sorted(set(points)):
            # Those of one width are neighbours most of the time, but need not be.
            some = [k for k, own in enumerate(points) if own == count]
            means = gaussian_means(dx, dy, width, sigma[..., some, :, :], e1, e2, count)
            part = (amp[..., some, :, :] * means).sum(-3)
            total = part if total is None else total + part
        assert total is not None
        return total

    def _count_points(self, width: float) -> list[int]:
        sigma = torch.as_tensor(self.sigma)
        return [count_mean_points(width, own, self.e1, self.e2) for own in sigma.unbind(-1)]

    def _align_each(self, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Offsets, widths and ellipticity, with the axis of the Gaussians before those of maps."""
        p = self.align(x)
        offsets = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        dx, dy = (v.unsqueeze(-3) for v in torch.broadcast_tensors(*offsets))
        e1, e2 = (p[name].unsqueeze(-3) if p[name].ndim else p[name] for name in ("e1", "e2"))
        return dx, dy, torch.as_tensor(self.sigma).to(x)[..., None, None], e1, e2
