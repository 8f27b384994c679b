"""Multipole of the angular structure of a lens, by amplitude and angle or by two amplitudes."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from lensphys.ground.numbers import check_count
from lensphys.kernels import launch
from lensphys.lengths import LEAST, MOST
from lensphys.mass.base import MassProfile, Vector
from lensphys.mass.distance import FARTHEST
from lensphys.parameters import Parameter, needs_backward, parameter

#: Radius (arcsec) inside which the singular centre is flattened.
_CORE = 1e-10


class _Geometry(NamedTuple):
    """Polar coordinates without angles: ``n = z / |z|``, and its power ``n^m``."""

    inverse: Tensor  # 1 / r
    r: Tensor
    nx: Tensor
    ny: Tensor
    cos: Tensor  # cos(m phi)
    sin: Tensor


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CartesianMultipole(MassProfile):
    """The multipole of :class:`Multipole` by its amplitudes along two axes: linear in both.

    ``kappa = (a_cos cos(m phi) + a_sin sin(m phi)) / (2 r)``, with ``a_cos = a_m cos(m phi_m)`` and
    ``a_sin = a_m sin(m phi_m)``. A fit looks for these two, since at an amplitude of 0 an angle has
    neither a value nor a derivative.

    Args:
        m: order, a whole number from 1 on; not a parameter, one for all lenses of a batch.
        a_cos, a_sin: amplitudes, arcsec.
        center_x, center_y, r_E: see :class:`Multipole`.

    Raises:
        ValueError: also for an order that is no whole number from 1 on.
    """

    m: int
    a_cos: Parameter = parameter(unit="arcsec", low=-MOST, high=MOST)
    a_sin: Parameter = parameter(unit="arcsec", low=-MOST, high=MOST)
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    r_E: Parameter = parameter(1.0, unit="arcsec", low=LEAST, high=MOST)

    def __post_init__(self) -> None:
        check_count("m", self.m)
        super().__post_init__()

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        g = _geometry(self.m, x - p["center_x"], y - p["center_y"])
        return _potential(self.m, p["a_cos"], p["a_sin"], p["r_E"], g)

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        if (alpha := self._compiled_deflection(x, y)) is not None:
            return alpha
        p = self.align(x)
        g = _geometry(self.m, x - p["center_x"], y - p["center_y"])
        return _deflection(self.m, p["a_cos"], p["a_sin"], p["r_E"], g)

    def _compiled_deflection(self, x: Tensor, y: Tensor) -> Vector | None:
        """Compute the deflection in one loop over the pixels, if it can; without gradients."""
        p = self.align(x)
        inputs = (x, y, *(p[name] for name in ("a_cos", "a_sin", "center_x", "center_y")))
        if self.m == 1 or needs_backward(*inputs, p["r_E"]):
            return None
        if (given := launch.prepare(*inputs)) is None:
            return None
        alpha = given.empty_maps(2)
        given.run("multipole.fill_deflection", (self.m, _CORE * _CORE), *alpha.numpy())
        alpha_x, alpha_y = alpha.view(2, *given.shape).unbind()
        return alpha_x, alpha_y

    def deflection_jacobian(self, x: Tensor, y: Tensor) -> tuple[Vector, dict[str, Vector]]:
        p = self.align(x)
        a_cos, a_sin, r_E = p["a_cos"], p["a_sin"], p["r_E"]
        g = _geometry(self.m, x - p["center_x"], y - p["center_y"])
        # Every map has the shape of the whole batch.
        zero = 0 * (a_cos + a_sin + r_E) * g.r
        one = zero + 1
        xx, xy, yy = _hessian(self.m, a_cos, a_sin, r_E, g)
        by_r_E = (-0.5 * a_cos / r_E, -0.5 * a_sin / r_E) if self.m == 1 else (zero, zero)
        return _deflection(self.m, a_cos, a_sin, r_E, g), {
            "a_cos": _deflection(self.m, one, zero, r_E, g),
            "a_sin": _deflection(self.m, zero, one, r_E, g),
            "center_x": (-xx, -xy),
            "center_y": (-xy, -yy),
            "r_E": (by_r_E[0] + zero, by_r_E[1] + zero),
        }

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p = self.align(x)
        g = _geometry(self.m, x - p["center_x"], y - p["center_y"])
        return _hessian(self.m, p["a_cos"], p["a_sin"], p["r_E"], g)


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Multipole(MassProfile):
    """Circular multipole, ``kappa = a_m / (2 r) cos(m (phi - phi_m))`` for ``m`` from 2 on.

    Xu et al. 2013 (arXiv:1307.4220), eq. B12; scale-free, for lenses that are close to isothermal.
    The dipole, ``m = 1``, has the potential ``a_m / 2 r log(r / r_E) cos(phi - phi_m)``.

    Args:
        m: order, a whole number from 1 on; not a parameter, one for all lenses of a batch.
        a_m: amplitude, arcsec.
        phi_m: direction of a maximum, rad.
        center_x, center_y: centre, arcsec.
        r_E: radius where the deflection of the dipole is purely radial, arcsec; without effect
            for ``m`` from 2 on.

    Raises:
        ValueError: also for an order that is no whole number from 1 on.
    """

    m: int
    a_m: Parameter = parameter(unit="arcsec", low=-MOST, high=MOST)
    phi_m: Parameter = parameter(unit="rad")
    center_x: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    center_y: Parameter = parameter(0.0, unit="arcsec", low=-FARTHEST, high=FARTHEST)
    r_E: Parameter = parameter(1.0, unit="arcsec", low=LEAST, high=MOST)

    def __post_init__(self) -> None:
        check_count("m", self.m)
        super().__post_init__()

    def potential(self, x: Tensor, y: Tensor) -> Tensor:
        return _potential(self.m, *self._terms(x, y))

    def deflection(self, x: Tensor, y: Tensor) -> Vector:
        return _deflection(self.m, *self._terms(x, y))

    def hessian(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _hessian(self.m, *self._terms(x, y))

    def _terms(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, _Geometry]:
        """Amplitudes along both axes, the radius of the dipole, and the rays."""
        p = self.align(x)
        turn = self.m * p["phi_m"]
        g = _geometry(self.m, x - p["center_x"], y - p["center_y"])
        return p["a_m"] * torch.cos(turn), p["a_m"] * torch.sin(turn), p["r_E"], g


def _geometry(m: int, x: Tensor, y: Tensor) -> _Geometry:
    r2 = x * x + y * y
    inverse = torch.rsqrt(r2.clamp_min(_CORE * _CORE))
    nx, ny = x * inverse, y * inverse
    # A power instead of an angle, whose branch cut the gradients would feel.
    cos, sin = nx, ny
    for _ in range(m - 1):
        cos, sin = cos * nx - sin * ny, cos * ny + sin * nx
    return _Geometry(inverse, r2 * inverse, nx, ny, cos, sin)


def _potential(m: int, a_cos: Tensor, a_sin: Tensor, r_E: Tensor, g: _Geometry) -> Tensor:
    wave = a_cos * g.cos + a_sin * g.sin
    if m == 1:
        return -0.5 * g.r * torch.log(r_E * g.inverse) * wave
    return g.r * wave / (1 - m**2) + 0 * r_E


def _deflection(m: int, a_cos: Tensor, a_sin: Tensor, r_E: Tensor, g: _Geometry) -> Vector:
    wave = a_cos * g.cos + a_sin * g.sin
    if m == 1:
        logarithm = -torch.log(r_E * g.inverse)
        return 0.5 * (a_cos * logarithm + wave * g.nx), 0.5 * (a_sin * logarithm + wave * g.ny)
    radial = wave / (1 - m**2) + 0 * r_E
    tangential = (a_sin * g.cos - a_cos * g.sin) * (m / (1 - m**2))
    return radial * g.nx - tangential * g.ny, radial * g.ny + tangential * g.nx


def _hessian(
    m: int, a_cos: Tensor, a_sin: Tensor, r_E: Tensor, g: _Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    nx, ny = g.nx, g.ny
    wave, inverse = a_cos * g.cos + a_sin * g.sin, g.inverse + 0 * r_E
    if m == 1:
        half = 0.5 * inverse
        return (
            half * (2 * a_cos * nx + wave * (ny * ny - nx * nx)),
            half * (a_cos * ny + a_sin * nx - 2 * wave * nx * ny),
            half * (2 * a_sin * ny + wave * (nx * nx - ny * ny)),
        )
    w = wave * inverse
    return w * ny * ny, -w * nx * ny, w * nx * nx
