"""Elliptical Sersic profile."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from lensphys import fit_range
from lensphys.arrays import read_numbers
from lensphys.fit_range import FitRange
from lensphys.kernels import launch
from lensphys.lengths import LEAST, MOST
from lensphys.light import N_SERSIC
from lensphys.light.base import LightProfile, clamp_far
from lensphys.light.pixel_means import average_slopes, correct_near_centre
from lensphys.parameters import Parameter, check_range, needs_backward, parameter

#: Radius (arcsec) inside which the profile is flat, as in lenstronomy: the cusp of n > 1 has an
#: infinite slope at the centre.
_R_MIN = 1e-4

#: ``log(R / R_sersic) / n`` from which on there is no light; its exponential does not overflow.
_DARK = 46.0

#: d b_n / d n
B_N_SLOPE = 1.9992
#: ``b_n`` is the first times n plus the second.
B_N = B_N_SLOPE, -0.3271

Number = TypeVar("Number", float, Tensor)


def b_n(n_sersic: Number) -> Number:
    """The constant that makes ``R_sersic`` the half-light radius, ``1.9992 n - 0.3271``.

    The linear fit of Capaccioli 1989 that lenstronomy uses too: good to 1e-3 from n = 1.5 on,
    0.4% off at n = 1 and 3% at n = 0.5, where 49.0% of the light is inside ``R_sersic``. Profiles
    take no lower index.
    """
    if isinstance(n_sersic, Tensor):
        # Under forward-mode derivatives the product of a single value and a number has a derivative
        # in double precision, whatever that of the value.
        slope, intercept = (torch.full_like(n_sersic, v) for v in (B_N_SLOPE, B_N[1]))
        return slope * n_sersic + intercept
    return B_N_SLOPE * n_sersic + B_N[1]


def sersic_total_flux(amplitude: Number, R_sersic: Number, n_sersic: Number) -> Number:
    """Flux to infinity of a Sersic profile, in units of the amplitude times arcsec^2.

    Graham & Driver 2005 (PASA 22, 118), eq. 2; the circularised radius makes it independent of
    the ellipticity. Numbers, or tensors of one shape; arrays are taken as tensors.

    Raises:
        ValueError: for an index outside the range of :class:`Sersic`.
    """
    given = {"amplitude": amplitude, "R_sersic": R_sersic, "n_sersic": n_sersic}
    read: list[Any] = [read_numbers(name, value) for name, value in given.items()]
    amplitude, R_sersic, n_sersic = read
    check_range("n_sersic", n_sersic, *N_SERSIC, open_low=False)
    n, b = n_sersic, b_n(n_sersic)
    if isinstance(n, Tensor):
        shape = n * torch.exp(b - 2 * n * torch.log(b) + torch.lgamma(2 * n))
    else:
        shape = n * math.exp(b) / math.pow(b, 2 * n) * math.gamma(2 * n)
    return amplitude * R_sersic**2 * 2 * math.pi * shape


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Sersic(LightProfile):
    """Elliptical Sersic profile, ``I(R) = amplitude exp(-b_n ((R / R_sersic)^(1/n) - 1))``.

    ``R = sqrt(q x^2 + y^2 / q)`` in the frame of the ellipse. Sersic 1968; Graham & Driver 2005
    (PASA 22, 118), eq. 1.

    Args:
        amplitude: surface brightness at ``R_sersic``, flux per arcsec^2.
        R_sersic: circularised half-light radius, arcsec.
        n_sersic: Sersic index, from 0.5 to 10, where the formula for ``b_n`` holds.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")
    steep: ClassVar[bool] = True

    amplitude: Parameter = parameter(
        unit="flux / arcsec^2",
        low=0.0,
        fit=FitRange(low=1e-6, high=1e4, start=1.0, unit="peak", log=True),
    )
    R_sersic: Parameter = parameter(
        unit="arcsec",
        low=LEAST,
        high=MOST,
        fit=FitRange(low=1e-3, high=2.0, start=0.1, unit="half field", log=True),
    )
    n_sersic: Parameter = parameter(
        low=N_SERSIC[0],
        high=N_SERSIC[1],
        fit=FitRange(low=N_SERSIC[0], high=8.0, start=1.0, log=True),
    )
    e1: Parameter = parameter(0.0, fit=fit_range.E1)
    e2: Parameter = parameter(0.0, fit=fit_range.E2)
    center_x: Parameter = parameter(0.0, unit="arcsec", fit=fit_range.CENTER_X)
    center_y: Parameter = parameter(0.0, unit="arcsec", fit=fit_range.CENTER_Y)

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        p = tuple(self.align(x).values())
        if needs_backward(x, y, *p):
            brightness: Tensor = _Brightness.apply(x, y, *p)
            return brightness
        fast = _compiled_brightness(x, y, *p)
        return p[0] * sersic_unit(x, y, *p[1:]) if fast is None else fast

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        """Mean surface brightness over square pixels of an unlensed image.

        To 5e-4 of the brightest pixel, and to 0.5% of each that is brighter than 5% of it; the
        faint outskirts of a galaxy of a few pixels, or of an index below 1, are less exact.
        Near the centre, where the middle of a pixel may be several times as bright as all of it,
        the light is integrated in closed form along the radius, and to 1e-5 along the edges of the
        pixel (:mod:`lensphys.light.pixel_means`). The flat core plays no part there, so that all
        pixels together have the light of :func:`lensphys.sersic_total_flux`.

        Args:
            x, y: middle of each pixel, arcsec, of shape ``(B, ny, nx)`` or ``(ny, nx)``.
            width: of a pixel, arcsec.
        """
        p = tuple(self.align(x).values())
        return correct_near_centre(self.surface_brightness(x, y), x, y, width, p, b_n(p[2]), B_N)

    def mean_brightness_jacobian(
        self, x: Tensor, y: Tensor, width: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean brightness, and its derivative with respect to each parameter by name.

        See :func:`lensphys.light.pixel_means.average_slopes` for those near the centre: for n = 4
        within 3% of the largest of a map, where one ray is off by more than that largest itself.
        """
        mean = self.mean_brightness(x, y, width)
        _, slopes = self.surface_brightness_jacobian(x, y)
        nearest, found = average_slopes(self, x, y, width, mean)
        for name, slope in slopes.items():
            flat = slope.expand(mean.shape).flatten(-2).scatter(-1, nearest, found[name])
            slopes[name] = flat.reshape(mean.shape)
        return mean, slopes

    def _compiled_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Compute the Jacobian in one loop over the pixels, if it can; without gradients."""
        p = self.align(x)
        if needs_backward(x, y, *p.values()):
            return None
        if (given := launch.prepare(x, y, *p.values())) is None:
            return None
        maps = torch.zeros(given.images, 1 + len(p), given.pixels, dtype=x.dtype)
        table = np.stack(given.parameters, axis=1)
        given = dataclasses.replace(given, parameters=[table])
        given.run("sersic.add_jacobian", B_N, maps.numpy())
        brightness, *slopes = (found.reshape(given.shape) for found in maps.unbind(1))
        return brightness, dict(zip(p, slopes, strict=True))

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        if (found := self._compiled_jacobian(x, y)) is not None:
            return found
        p = self.align(x)
        amplitude, radius, n, e1, e2, _, _ = p.values()
        t = _Terms(x, y, *list(p.values())[1:])
        brightness = amplitude * t.unit
        slope = (t.b / n) * brightness * t.power  # minus the logarithmic derivative in R

        # With (u, v) the stretched position in units of R, R^2 = u^2 + v^2: d log R = (u du + v dv)
        # / R^2 + e . de / (1 - |e|^2), and none of it in the flat core.
        dx, dy = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        outside = torch.where(t.r2 > _R_MIN**2, -slope, 0.0)
        pull = t.inverse * outside / t.r2
        pull_u, pull_v = pull * t.u, pull * t.v
        stretch = t.inverse**2 * outside
        jacobian = {
            "amplitude": t.unit.expand_as(brightness),
            "R_sersic": slope / radius,
            "n_sersic": slope * t.log - (B_N_SLOPE * brightness) * (t.power - 1),
            "e1": torch.addcmul(stretch * e1, pull_v, dy) - pull_u * dx,
            "e2": stretch * e2 - torch.addcmul(pull_u * dy, pull_v, dx),
            "center_x": torch.addcmul(e2 * pull_v, e1 - 1, pull_u),
            "center_y": torch.addcmul(e2 * pull_u, -e1 - 1, pull_v),
        }
        return brightness, jacobian


def _axes(
    x: Tensor, y: Tensor, e1: Tensor, e2: Tensor, center_x: Tensor, center_y: Tensor
) -> tuple[Tensor, Tensor]:
    """The stretched position (see :mod:`lensphys.ellipticity`) in units in which its length is R.

    The constants are folded into the coefficients: each map that is written costs time.
    """
    x, y, center_x, center_y = (clamp_far(v) for v in (x, y, center_x, center_y))
    inverse = torch.rsqrt(1 - e1 * e1 - e2 * e2)
    xx, yy, xy = inverse * (1 - e1), inverse * (1 + e1), -inverse * e2
    u = torch.addcmul(torch.addcmul(-xx * center_x - xy * center_y, xx, x), xy, y)
    v = torch.addcmul(torch.addcmul(-xy * center_x - yy * center_y, xy, x), yy, y)
    return u, v


def _radius2(u: Tensor, v: Tensor) -> Tensor:
    """``R^2``, arcsec^2, outside of the flat core."""
    return torch.addcmul(u * u, v, v).clamp_min(_R_MIN**2)


def _log_power(r2: Tensor, R_sersic: Tensor, n_sersic: Tensor) -> Tensor:
    """``log(R / R_sersic) / n``; its exponential is six times as fast as torch.pow."""
    power = torch.addcmul(-torch.log(R_sersic) / n_sersic, 0.5 / n_sersic, torch.log(r2))
    return power.clamp_max(_DARK)


def _unit(power: Tensor, b: Tensor) -> Tensor:
    return torch.exp(torch.addcmul(b, -b, power))


def sersic_unit(
    x: Tensor, y: Tensor, R_sersic: Tensor, n_sersic: Tensor, e1: Tensor, e2: Tensor, *at: Tensor
) -> Tensor:
    """Sersic profile of unit amplitude, centred ``at``."""
    r2 = _radius2(*_axes(x, y, e1, e2, *at))
    return _unit(torch.exp(_log_power(r2, R_sersic, n_sersic)), b_n(n_sersic))


def _compiled_brightness(*inputs: Tensor) -> Tensor | None:
    """Compute the brightness in one loop over the pixels, if it can."""
    given = launch.prepare(*inputs)
    if given is None:
        return None
    brightness = given.empty_maps(1)
    given.run("sersic.fill_brightness", B_N, *brightness.numpy())
    return brightness.view(given.shape)


class _Terms:
    """Profile of unit amplitude, and the terms of its derivatives."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        R_sersic: Tensor,
        n_sersic: Tensor,
        e1: Tensor,
        e2: Tensor,
        *at: Tensor,
    ) -> None:
        self.b = b_n(n_sersic)
        self.inverse = torch.rsqrt(1 - e1 * e1 - e2 * e2)
        self.u, self.v = _axes(x, y, e1, e2, *at)
        self.r2 = _radius2(self.u, self.v)
        self.log = _log_power(self.r2, R_sersic, n_sersic)
        self.power = torch.exp(self.log)
        self.unit = _unit(self.power, self.b)


class _Brightness(torch.autograd.Function):
    """Surface brightness, whose backward pass is the closed form of its derivatives.

    Half of the time and of the memory of going back through every operation.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, amplitude: Tensor, *shape: Tensor) -> Tensor:
        ctx.save_for_backward(x, y, amplitude, *shape)
        ctx.terms = None
        if (brightness := _compiled_brightness(x, y, amplitude, *shape)) is not None:
            return brightness
        ctx.terms = terms = _Terms(x, y, *shape)
        return amplitude * terms.unit

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        inputs, needs = ctx.saved_tensors, ctx.needs_input_grad
        x, y, amplitude, *shape = inputs
        radius, n, e1, e2, center_x, center_y = shape
        again = torch.is_grad_enabled()  # the gradient will itself be differentiated
        if not again and launch.is_possible(g) and (given := launch.prepare(*inputs)) is not None:
            shapes = [v.shape if need else None for v, need in zip(inputs, needs, strict=True)]
            return tuple(given.gradients("sersic.fill_gradients", B_N, (g,), shapes))
        # Derivatives of derivatives need the terms anew: those of the forward pass have no graph.
        t: _Terms = _Terms(x, y, *shape) if again or ctx.terms is None else ctx.terms
        g_unit = g * t.unit
        g_power = g_unit * t.power
        factor = amplitude * t.b / n
        outside = torch.where(t.r2 > _R_MIN**2, g_power, 0.0)
        pull = outside / t.r2
        pull_u, pull_v = pull * t.u, pull * t.v
        scale = -factor * t.inverse
        by_x = torch.addcmul(scale * (1 - e1) * pull_u, -scale * e2, pull_v)
        by_y = torch.addcmul(scale * (1 + e1) * pull_v, -scale * e2, pull_u)
        grads: list[Tensor | None] = [None] * 9
        if needs[0]:
            grads[0] = by_x.sum_to_size(x.shape)
        if needs[1]:
            grads[1] = by_y.sum_to_size(y.shape)
        if needs[2]:
            grads[2] = g_unit.sum_to_size(amplitude.shape)
        if needs[3]:
            grads[3] = (factor / radius * g_power).sum_to_size(radius.shape)
        if needs[4]:
            by_n = factor * g_power * t.log - B_N_SLOPE * amplitude * (g_power - g_unit)
            grads[4] = by_n.sum_to_size(n.shape)
        if needs[5]:
            each = torch.addcmul(t.inverse * e1 * outside, pull_v, clamp_far(y - center_y))
            each = each - pull_u * clamp_far(x - center_x)
            grads[5] = (scale * each).sum_to_size(e1.shape)
        if needs[6]:
            dx, dy = clamp_far(x - center_x), clamp_far(y - center_y)
            each = torch.addcmul(pull_u * dy, pull_v, dx)
            grads[6] = (scale * (t.inverse * e2 * outside - each)).sum_to_size(e2.shape)
        if needs[7]:
            grads[7] = (-by_x).sum_to_size(center_x.shape)
        if needs[8]:
            grads[8] = (-by_y).sum_to_size(center_y.shape)
        return tuple(grads)
