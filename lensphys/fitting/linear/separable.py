"""Sources of any shape: shapelets, and pixels on a grid that follows the source."""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fit_range import CENTER_X, CENTER_Y, FitRange
from lensphys.fitting.linear.components import Component, Maps, Slopes, column
from lensphys.light.base import LightProfile
from lensphys.light.pixelated import PixelatedSource
from lensphys.light.shapelets import Shapelets, count_shapelets, hermite_functions, list_orders
from lensphys.products import product

#: Scale of shapelets and half the size of a grid of pixels, in half fields.
_BETA = FitRange(low=0.004, high=0.2, start=0.03, unit="half field", log=True)
_SIZE = FitRange(low=0.01, high=1.0, start=0.2, unit="half field", log=True)


class _Separable(Component):
    """Functions that are products of one of x and one of y."""

    positive = False
    _orders: list[tuple[int, int]]

    @abc.abstractmethod
    def _axis(self, u: Tensor) -> _Axis:
        """Functions of one coordinate, a tensor of any shape."""

    @abc.abstractmethod
    def _multiply(self, along_x: Tensor, along_y: Tensor) -> Tensor:
        """Products ``(b, K, pixels)`` of functions of x and y, ``(b, n, pixels)`` each."""

    @abc.abstractmethod
    def _width(self, params: Mapping[str, Tensor]) -> tuple[Tensor, str]:
        """Arcsec of a unit of the coordinates, ``(b, 1, 1)``, and the parameter it follows."""

    @abc.abstractmethod
    def _reach(self, dtype: torch.dtype) -> float:
        """Coordinate beyond which there is no light, to the precision of numbers of a type."""

    def find_lit(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        width, _ = self._width(params)
        half = self._reach(x.dtype) * width
        inside = (x - column(params, "source_center_x")).abs() < half
        return inside & ((y - column(params, "source_center_y")).abs() < half)

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        width, name = self._width(params)
        u = (x - column(params, "source_center_x")) / width
        v = (y - column(params, "source_center_y")) / width
        size = u.shape[-2:]
        uv = torch.stack([u, v]).flatten(2)
        axis = self._axis(uv)
        (u, v), (along_x, along_y) = uv, axis.functions
        basis = self._multiply(along_x, along_y).unflatten(2, size)

        def contract(amplitudes: Tensor) -> Slopes:
            table = amplitudes.new_zeros(len(u), along_x.shape[1], along_y.shape[1])
            first, second = (list(order) for order in zip(*self._orders, strict=True))
            table[:, first, second] = amplitudes
            table = table.to(u.dtype)
            more_x, more_y = axis.more
            by_u = (product(product(table.mT, axis.slopes), more_x) * along_y).sum(1)
            by_v = (product(product(table, axis.slopes), more_y) * along_x).sum(1)
            return list_slopes(by_u, by_v)

        def weigh(maps: Tensor) -> Slopes:
            weights = maps.flatten(2)
            slope_x, slope_y = product(axis.slopes, axis.more)
            by_u = (self._multiply(slope_x, along_y) * weights).sum(1)
            by_v = (self._multiply(along_x, slope_y) * weights).sum(1)
            return list_slopes(by_u, by_v)

        def list_slopes(by_u: Tensor, by_v: Tensor) -> Slopes:
            grown = -(by_u * u + by_v * v) / params[name][:, None]
            slopes = [(by / width[..., 0]).unflatten(1, size) for by in (by_u, by_v)]
            return (slopes[0], slopes[1]), {
                "source_center_x": -slopes[0],
                "source_center_y": -slopes[1],
                name: grown.unflatten(1, size),
            }

        return Maps(basis, contract, weigh)


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Functions of both coordinates.

    Attributes:
        functions: ``(2, b, n, pixels)``, first those of x.
        slopes, more: their slopes are the products of a matrix ``(n, m)`` with ``more``,
            ``(2, b, m, pixels)``.
    """

    functions: Tensor
    slopes: Tensor
    more: Tensor


class ShapeletSource(_Separable):
    """Shapelets of all orders up to ``n_max``, with weaker ones preferred, the more so the finer.

    Args:
        n_max: highest order.
        steepness: power of ``1 + n`` with which the regularisation of an amplitude of order n
            grows. With 2 it is what the amplitudes of an exponential profile fall off like.
    """

    def __init__(self, n_max: int, *, steepness: float = 2.0) -> None:
        self.n_max, self.count = n_max, count_shapelets(n_max)
        self._steepness = steepness
        self._orders = list_orders(n_max)
        # phi_n' = sqrt(n / 2) phi_(n - 1) - sqrt((n + 1) / 2) phi_(n + 1).
        root = torch.sqrt(0.5 * torch.arange(1, n_max + 2, dtype=torch.float64))
        self._slopes = torch.zeros(n_max + 1, n_max + 2, dtype=torch.float64)
        self._slopes[:, 1:] -= torch.diag(root)
        self._slopes[1:, :n_max] += torch.diag(root[:-1])
        self.ranges = {
            "source_center_x": CENTER_X,
            "source_center_y": CENTER_Y,
            "source_beta": _BETA,
        }

    def _axis(self, u: Tensor) -> _Axis:
        functions = hermite_functions(u, self.n_max + 1).movedim(0, 2)
        return _Axis(functions[:, :, :-1], self._slopes.to(u), functions)

    def _multiply(self, along_x: Tensor, along_y: Tensor) -> Tensor:
        # Those of x in falling order: the products of each order are then those of two slices.
        falling, n_max = along_x.flip(1), self.n_max
        orders = range(n_max + 1)
        return torch.cat([falling[:, n_max - n :] * along_y[:, : n + 1] for n in orders], 1)

    def _reach(self, dtype: torch.dtype) -> float:
        return _find_reach(self.n_max, torch.finfo(dtype).eps)

    def _width(self, params: Mapping[str, Tensor]) -> tuple[Tensor, str]:
        return column(params, "source_beta"), "source_beta"

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        shapelets = Shapelets(
            amp=amplitudes,
            n_max=self.n_max,
            beta=params["source_beta"],
            center_x=params["source_center_x"],
            center_y=params["source_center_y"],
        )
        return [shapelets]

    def roughness(self) -> Tensor:
        return torch.diag(
            torch.tensor([float(1 + a + b) ** self._steepness for a, b in self._orders]).double()
        )


class PixelSource(_Separable):
    """A grid of ``n x n`` pixels about the source, between which cubic convolution interpolates.

    Its regularisation is the squared curvature of the source, Suyu et al. 2006 (MNRAS 371, 983),
    appendix A. The parameter ``source_size`` is half the width of the grid.
    """

    def __init__(self, n: int) -> None:
        self.n, self.count = n, n * n
        self._orders = [(i, j) for j in range(n) for i in range(n)]
        self.ranges = {
            "source_center_x": CENTER_X,
            "source_center_y": CENTER_Y,
            "source_size": _SIZE,
        }

    def _axis(self, u: Tensor) -> _Axis:
        knots = torch.arange(self.n, dtype=u.dtype, device=u.device) - 0.5 * (self.n - 1)
        offset = u[:, :, None] - knots[:, None]
        r = offset.abs().clamp_max(2)
        near = r < 1
        value = torch.where(near, (1.5 * r - 2.5) * r * r + 1, ((2.5 - 0.5 * r) * r - 4) * r + 2)
        slope = torch.where(near, (4.5 * r - 5) * r, (5 - 1.5 * r) * r - 4)
        return _Axis(value, torch.eye(self.n).to(u), torch.sign(offset) * slope * (r < 2))

    def _multiply(self, along_x: Tensor, along_y: Tensor) -> Tensor:
        return (along_x[:, None] * along_y[:, :, None]).flatten(1, 2)

    def _reach(self, dtype: torch.dtype) -> float:
        return 0.5 * (self.n - 1) + 2

    def _width(self, params: Mapping[str, Tensor]) -> tuple[Tensor, str]:
        return 2 * column(params, "source_size") / self.n, "source_size"

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        image = amplitudes.unflatten(-1, (self.n, self.n))
        size = params["source_size"]
        pixels = PixelatedSource(
            image=image,
            pixel_scale=2 * size / self.n,
            center_x=params["source_center_x"],
            center_y=params["source_center_y"],
        )
        return [pixels]

    def roughness(self) -> Tensor:
        line = torch.eye(self.n, dtype=torch.float64)
        bend = 2 * line - line.roll(1, 0) - line.roll(-1, 0)
        bend[0, -1] = bend[-1, 0] = 0.0  # light beyond the grid is 0, not that of the other side
        curvature = product(bend, bend.mT)
        return torch.kron(line, curvature) + torch.kron(curvature, line)


@functools.cache
def _find_reach(n_max: int, precision: float) -> float:
    """Coordinate beyond which no function of these orders exceeds a tenth of a precision."""
    u = torch.linspace(0, 30, 601, dtype=torch.float64)
    bright = hermite_functions(u, n_max).abs().amax(0) > 0.1 * precision
    return float(u[bright][-1]) + 0.05
