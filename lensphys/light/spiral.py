"""Sersic disc with logarithmic spiral arms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from lensphys.ellipticity import stretch
from lensphys.ground.numbers import check_count
from lensphys.lengths import LEAST, MOST
from lensphys.light import N_SERSIC
from lensphys.light.base import LightProfile, clamp_far, gauss_legendre
from lensphys.light.sersic import Sersic, sersic_unit
from lensphys.parameters import Parameter, is_transformed, parameter

#: Points along a side of a pixel, where arms are wound loosely and tightly, and the turn of an arm
#: from one pixel to the next (rad) that separates them.
_FEW, _MANY, _TURN = 2, 5, 1.5


def arms(
    u: Tensor,
    v: Tensor,
    m: int,
    arm_contrast: Tensor,
    pitch: Tensor,
    R_core: Tensor,
    phi_arm: Tensor,
) -> Tensor:
    """Factor on the brightness of a disc at the position ``u, v`` in its plane, arcsec.

    Arms run along logarithmic spirals, ``phi = ln(R) / tan(pitch)`` (Kennicutt 1981, AJ 86, 1847).
    With ``w = R^2 + R_core^2`` instead of ``R^2`` they unwind inside ``R_core``, as by the
    coordinate rotation of Peng et al. 2010 (AJ 139, 2097). Across the arms brightness follows a von
    Mises distribution, whose mean over the angle is 1: the arms move light around and add none.
    """
    r2 = u * u + v * v
    w = r2 + R_core * R_core
    winding = phi_arm + (0.5 * torch.log(w) - torch.log(R_core)) / torch.tan(pitch)
    cos, sin = torch.cos(winding), torch.sin(winding)
    # (u + iv) exp(-i winding) / sqrt(w), to the power of m: smooth at the centre, unlike the angle.
    inverse = torch.rsqrt(w)
    real, imaginary = inverse * (u * cos + v * sin), inverse * (v * cos - u * sin)
    power_real, power_imaginary = real, imaginary
    for _ in range(m - 1):
        power_real, power_imaginary = (
            power_real * real - power_imaginary * imaginary,
            power_real * imaginary + power_imaginary * real,
        )
    # Clamped, since the slope of the root (m = 1) is infinite at the centre.
    modulus = (r2 / w).clamp_min(torch.finfo(w.dtype).tiny)
    concentration = arm_contrast * modulus ** (0.5 * m)
    peaked = torch.exp(arm_contrast * power_real - concentration)
    factor: Tensor = peaked / torch.special.i0e(concentration)
    return factor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Spiral(LightProfile):
    """Sersic disc whose light is gathered in logarithmic spiral arms.

    The ellipse is the circle of the disc, inclined by ``cos i = q`` and circularised as in
    :class:`lensphys.Sersic`; the arms are circular in its plane. The mean brightness on each
    ellipse, and so the total flux, is that of the Sersic profile (``lp.sersic_total_flux``).
    Arms after Kennicutt 1981 (AJ 86, 1847), unwinding at the centre as in Peng et al. 2010
    (AJ 139, 2097).

    Args:
        m: number of arms, a whole number from 1 on; not a parameter, one for all of a batch.
        amplitude: mean surface brightness at ``R_sersic``, flux per arcsec^2.
        R_sersic: circularised half-light radius, arcsec.
        n_sersic: Sersic index, from 0.5 to 10; 1 for an exponential disc.
        arm_contrast: strength of the arms: 0 for none, far out the crest is
            ``exp(2 arm_contrast)`` times as bright as between the arms.
        pitch: angle between arms and circles, rad; beyond ``pi / 2`` they wind the other way.
        R_core: radius inside which the arms fade and unwind, arcsec.
        phi_arm: direction of an arm at the centre, in the plane of the disc, rad.
        e1, e2: ellipticity ``(1 - q) / (1 + q) * (cos 2 phi, sin 2 phi)``.
        center_x, center_y: centre, arcsec.

    Raises:
        ValueError: also for a number of arms that is no whole number from 1 on.
    """

    ellipticity: ClassVar[tuple[str, str] | None] = ("e1", "e2")
    steep: ClassVar[bool] = True

    m: int = 2
    amplitude: Parameter = parameter(unit="flux / arcsec^2", low=0.0)
    R_sersic: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    n_sersic: Parameter = parameter(low=N_SERSIC[0], high=N_SERSIC[1])
    arm_contrast: Parameter = parameter(low=0.0, high=20.0)
    pitch: Parameter = parameter(unit="rad", low=0.05, high=math.pi - 0.05)
    R_core: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    phi_arm: Parameter = parameter(0.0, unit="rad")
    e1: Parameter = parameter(0.0)
    e2: Parameter = parameter(0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def __post_init__(self) -> None:
        check_count("m", self.m)
        super().__post_init__()

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        disc, factor = self._disc_and_arms(x, y)
        brightness: Tensor = self.align(x)["amplitude"] * disc * factor
        return brightness

    def mean_brightness(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        """Mean surface brightness over square pixels of an unlensed image.

        The mean of the disc, which is steep at its centre, times that of the arms, which fade
        there: the latter over points of the pixel, weighted with the light of the disc.

        Args:
            x, y: middle of each pixel, arcsec, of shape ``(B, ny, nx)`` or ``(ny, nx)``.
            width: of a pixel, arcsec.
        """
        names = ("amplitude", "R_sersic", "n_sersic", "e1", "e2", "center_x", "center_y")
        disc = Sersic(**{name: getattr(self, name) for name in names})
        return disc.mean_brightness(x, y, width) * self._mean_of_arms(x, y, width)

    def _mean_of_arms(self, x: Tensor, y: Tensor, width: float) -> Tensor:
        p = self.align(x)
        at = x - p["center_x"], y - p["center_y"]
        if is_transformed(*at, *p.values()):
            return self._mean_over_points(x, y, width, _MANY)
        found = self._mean_over_points(x, y, width, _FEW)
        # Inside of this the arms turn by more than that from one pixel to the next.
        tight = self.m * width / (_TURN * torch.tan(p["pitch"]).abs())
        near = torch.hypot(*at) < tight
        image, *place = torch.nonzero(near.expand(found.shape).reshape(-1, *x.shape[-2:])).unbind(1)
        columns = {name: value.expand(*found.shape[:-2], 1, 1) for name, value in p.items()}
        chosen: dict[str, Any] = {n: value.reshape(-1)[image] for n, value in columns.items()}
        member = dataclasses.replace(self, **chosen)
        x, y = (v.expand(found.shape).reshape(-1, *v.shape[-2:]) for v in (x, y))
        x, y = (v[image, place[0], place[1], None, None] for v in (x, y))
        inner = member._mean_over_points(x, y, width, _MANY)[:, 0, 0]
        flat = found.reshape(-1, *found.shape[-2:])
        return flat.index_put((image, *place), inner).reshape(found.shape)

    def _mean_over_points(self, x: Tensor, y: Tensor, width: float, count: int) -> Tensor:
        """Mean factor of the arms, weighted with the disc, over ``count x count`` points."""
        light, plain = torch.zeros_like(x), torch.zeros_like(x)
        places, weights = gauss_legendre(count)
        for off_y, weight_y in zip(places, weights, strict=True):
            for off_x, weight_x in zip(places, weights, strict=True):
                unit, factor = self._disc_and_arms(x + off_x * width, y + off_y * width)
                plain = torch.add(plain, unit, alpha=weight_x * weight_y)
                light = torch.add(light, unit * factor, alpha=weight_x * weight_y)
        # Far outside there is no light to weight with.
        return light / plain.clamp_min(torch.finfo(plain.dtype).tiny)

    def _disc_and_arms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The disc of unit amplitude, and the factor of the arms on it."""
        p = self.align(x)
        e1, e2 = p["e1"], p["e2"]
        at = (p["center_x"], p["center_y"])
        disc = sersic_unit(x, y, p["R_sersic"], p["n_sersic"], e1, e2, *at)
        inverse = torch.rsqrt(1 - e1 * e1 - e2 * e2)
        x, y = clamp_far(x - at[0]), clamp_far(y - at[1])
        u, v = stretch(inverse * x, inverse * y, e1, e2)
        winding = (p["arm_contrast"], p["pitch"], p["R_core"], p["phi_arm"])
        return disc, arms(u, v, self.m, *winding)
