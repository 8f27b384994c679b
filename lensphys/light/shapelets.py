"""Shapelets: a source of any shape, from coarse to fine."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from lensphys.ground.numbers import is_count
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import clamp_far
from lensphys.light.expansion import Expansion
from lensphys.parameters import Parameter, is_concrete, parameter
from lensphys.products import product

#: Highest order: its functions are still exact to rounding in double precision.
_HIGHEST = 60
#: Offset from the centre, in units of beta, beyond which no function of these orders has light.
_OUTSIDE = 30.0


def count_shapelets(n_max: int) -> int:
    """Number of shapelets of orders up to ``n_max``."""
    return (n_max + 1) * (n_max + 2) // 2


def list_orders(n_max: int) -> list[tuple[int, int]]:
    """Orders ``(n1, n2)`` along x and y of all shapelets, in lenstronomy's sequence."""
    return [(n - n2, n2) for n in range(n_max + 1) for n2 in range(n + 1)]


def hermite_functions(u: Tensor, n_max: int) -> Tensor:
    """Orthonormal functions ``phi_0 .. phi_n_max`` of one coordinate, ``(n_max + 1, *u.shape)``.

    ``phi_n(u) = H_n(u) exp(-u^2 / 2) / sqrt(2^n sqrt(pi) n!)``, Refregier 2003 (MNRAS 338, 35),
    eq. 1, by the recurrence of the normalised functions, which neither overflows nor cancels.
    """
    u = u.clamp(-_OUTSIDE, _OUTSIDE)
    functions = [torch.exp(-0.5 * u * u) * math.pi**-0.25]
    if n_max:
        functions.append(math.sqrt(2) * u * functions[0])
    for n in range(2, n_max + 1):
        scaled = math.sqrt(2 / n) * u
        functions.append(scaled * functions[-1] - math.sqrt((n - 1) / n) * functions[-2])
    return torch.stack(functions)


def _with_slopes(u: Tensor, n_max: int) -> tuple[Tensor, Tensor]:
    """Functions of :func:`hermite_functions` and their derivatives.

    ``phi_n' = sqrt(n / 2) phi_(n-1) - sqrt((n + 1) / 2) phi_(n+1)``.
    """
    functions = hermite_functions(u, n_max + 1)
    root = torch.sqrt(0.5 * torch.arange(n_max + 2, dtype=u.dtype, device=u.device))
    root = root.reshape(-1, *[1] * u.ndim)
    slopes = -root[1:] * functions[1:]
    slopes[1:] += root[1:-1] * functions[:n_max]
    return functions[:-1], slopes


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Shapelets(Expansion):
    """Cartesian shapelets, lenstronomy's ``SHAPELETS``: Gauss-Hermite functions about a centre.

    Refregier 2003 (MNRAS 338, 35). The function of orders ``(n1, n2)`` and amplitude 1 is
    ``phi_n1(dx / beta) phi_n2(dy / beta)``, flux per arcsec^2. Together they resolve from about
    ``beta / sqrt(n_max + 1)`` to ``beta sqrt(n_max + 1)``.

    Args:
        amp: amplitudes of all ``(n_max + 1) (n_max + 2) / 2`` functions, ``(K,)`` or ``(B, K)``, in
            the sequence (0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2) ... of orders along x and y.
        n_max: highest order, a whole number up to 60; not a parameter, one for a whole batch.
        beta: scale, arcsec.
        center_x, center_y: centre, arcsec.

    Raises:
        ValueError: also for an order that is no whole number from 0 to 60.
    """

    n_max: int
    beta: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")

    def _count(self) -> int:
        # A bool is a whole number too, but hardly meant as an order.
        known = (self.n_max == 0 and not isinstance(self.n_max, bool)) or is_count(self.n_max)
        if not known or self.n_max > _HIGHEST:
            raise ValueError(
                f"n_max must be a whole number from 0 to {_HIGHEST}, got {self.n_max!r}"
            )
        return count_shapelets(self.n_max)

    def basis(self, x: Tensor, y: Tensor) -> Tensor:
        along_x, along_y = (hermite_functions(w, self.n_max) for w in self._scaled(x, y))
        n1, n2 = zip(*list_orders(self.n_max), strict=True)
        return torch.movedim(along_x[list(n1)] * along_y[list(n2)], 0, -3)

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        along_x, along_y = (hermite_functions(w, self.n_max) for w in self._scaled(x, y))
        return self._combine(along_x, along_y)

    def surface_brightness_jacobian(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        u, v = self._scaled(x, y)
        (along_x, slope_x), (along_y, slope_y) = (_with_slopes(w, self.n_max) for w in (u, v))
        by_u, by_v = self._combine(slope_x, along_y), self._combine(along_x, slope_y)
        beta = self.align(x)["beta"]
        jacobian = {
            "beta": -(u * by_u + v * by_v) / beta,
            "center_x": -by_u / beta,
            "center_y": -by_v / beta,
        }
        return self._combine(along_x, along_y), jacobian

    def _scaled(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets from the centre in units of beta, of one shape."""
        p = self.align(x)
        u = clamp_far(x - p["center_x"]) / p["beta"]
        v = clamp_far(y - p["center_y"]) / p["beta"]
        u, v = torch.broadcast_tensors(u, v)
        return u, v

    def _combine(self, along_x: Tensor, along_y: Tensor) -> Tensor:
        """Sum products of functions of ``x`` and ``y`` with the amplitudes."""
        amp = torch.as_tensor(self.amp).to(along_x.device, along_x.dtype)
        # The amplitude of every pair of orders; that of the pairs which are left out is zero.
        places = torch.full((self.n_max + 1, self.n_max + 1), amp.shape[-1])
        for k, (n1, n2) in enumerate(list_orders(self.n_max)):
            places[n2, n1] = k
        table = pad(amp, (0, 1))[..., places.to(amp.device)]
        along_x, along_y = (torch.movedim(functions, 0, -3) for functions in (along_x, along_y))
        mixed = product(table, along_x.flatten(-2)).unflatten(-1, along_x.shape[-2:])
        total: Tensor = (mixed * along_y).sum(-3)
        return total

    def points_along(self, width: float) -> int:
        if not is_concrete(self.beta):
            return 4
        finest = float(torch.as_tensor(self.beta).min()) / math.sqrt(self.n_max + 1)
        return min(2 + math.ceil(width / finest), 24)
