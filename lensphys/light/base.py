"""Uniform interface of all light profiles."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from lensphys.arrays import is_traced
from lensphys.parameters import Parameter, Profile
from lensphys.remembering import remember

#: Distance from the centre (arcsec) beyond which the brightness is that at this distance: next to
#: nothing, without numbers that overflow on the way.
FAR = 1e15


def clamp_far(offset: Tensor) -> Tensor:
    """Bring an offset from a centre that is too far for the formulas back to :data:`FAR`."""
    return offset.clamp(-FAR, FAR)


def in_widths(offset: Tensor, width: Tensor) -> Tensor:
    """An offset in units of the width of a Gaussian; 1e4 where it is more, and nothing shines."""
    most = 1e4 * width.detach()
    return torch.clamp(offset, -most, most) / width


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class LightProfile(Profile):
    """A surface-brightness profile in the source or the lens plane."""

    #: The middle of a pixel does not stand for all of it at the centre of the profile.
    steep: ClassVar[bool] = False

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        """Flux per arcsec^2 at ``x, y`` (arcsec), of shape ``(B, ny, nx)`` or ``(ny, nx)``."""
        raise TypeError(f"{type(self).__name__} has no surface brightness")

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        """Mean surface brightness, flux per arcsec^2, over square pixels of an unlensed image.

        By Gauss-Legendre quadrature, with as many points a side as the profile asks for; profiles
        with a steep centre override it.

        Args:
            x, y: middle of each pixel, arcsec, of shape ``(B, ny, nx)`` or ``(ny, nx)``.
            width: of a pixel, arcsec.
        """
        places, weights = gauss_legendre(self.points_along(width))
        total: Tensor | None = None
        for off_y, weight_y in zip(places, weights, strict=True):
            for off_x, weight_x in zip(places, weights, strict=True):
                at = x + off_x * width, y + off_y * width
                part = weight_x * weight_y * self.surface_brightness(*at)
                total = part if total is None else total + part
        assert total is not None
        return total

    def points_along(self, width: float) -> int:
        """Points along a side of a pixel that :meth:`mean_brightness` takes."""
        return 3

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Surface brightness, and its derivative with respect to each parameter by name.

        By forward-mode differentiation; profiles that are fitted often override it with their
        closed form. The gradient on the sky is minus the derivative with respect to the centre.
        """
        return self._differentiate(lambda profile: profile.surface_brightness(x, y), x)

    def mean_brightness_jacobian(
        self, x: Tensor, y: Tensor, width: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """:meth:`mean_brightness`, and its derivative with respect to each parameter by name."""
        return self._differentiate(lambda profile: profile.mean_brightness(x, y, width), x)

    def _differentiate(
        self, evaluate: Callable[[Any], Tensor], like: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Maps of the profile, and their derivatives by forward-mode differentiation."""
        jacobian = {}
        for name in self.parameter_names():
            value = torch.as_tensor(getattr(self, name), dtype=like.dtype, device=like.device)

            def shift(value: Tensor, name: str = name) -> Tensor:
                return evaluate(dataclasses.replace(self, **{name: value}))

            jacobian[name] = jvp(shift, (value,), (torch.ones_like(value),))[1]
        return evaluate(self), jacobian


@remember()
def gauss_legendre(count: int) -> tuple[list[float], list[float]]:
    """Points from -0.5 to 0.5 and weights, of sum 1, of Gauss-Legendre quadrature."""
    places, weights = np.polynomial.legendre.leggauss(count)
    return (0.5 * places).tolist(), (0.5 * weights).tolist()


def count_points(width: float, sigma: Parameter, e1: Parameter, e2: Parameter) -> int:
    """Points along a side of a pixel that resolve a Gaussian cross-section, at most 24.

    Args:
        width: of a pixel, arcsec.
        sigma: circularised standard deviation, arcsec.
        e1, e2: ellipticity.
    """
    sigma, e1, e2 = (torch.as_tensor(value).detach() for value in (sigma, e1, e2))
    if any(is_traced(value) for value in (sigma, e1, e2)) or not sigma.numel():
        return 4
    modulus = (e1 * e1 + e2 * e2).sqrt()
    narrowest = float((sigma * ((1 - modulus) / (1 + modulus)).sqrt()).min())
    return min(1 + math.ceil(width / narrowest), 24)
