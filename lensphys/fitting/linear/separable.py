"""Sources of any shape: shapelets, and pixels on a grid that follows the source."""

from __future__ import annotations

import abc
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
    def _axis(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Functions of one coordinate and their slopes, ``(b, n, pixels)`` each."""

    @abc.abstractmethod
    def _width(self, params: Mapping[str, Tensor]) -> tuple[Tensor, str]:
        """Arcsec of a unit of the coordinates, ``(b, 1, 1)``, and the parameter it follows."""

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        width, name = self._width(params)
        u = ((x - column(params, "source_center_x")) / width).flatten(1)
        v = ((y - column(params, "source_center_y")) / width).flatten(1)
        along_x, slope_x = self._axis(u)
        along_y, slope_y = self._axis(v)
        first, second = (list(order) for order in zip(*self._orders, strict=True))
        size = x.shape[-2:]
        basis = (along_x[:, first] * along_y[:, second]).unflatten(2, size)

        def contract(amplitudes: Tensor) -> Slopes:
            table = amplitudes.new_zeros(len(u), along_x.shape[1], along_y.shape[1])
            table[:, first, second] = amplitudes
            table = table.to(u.dtype)
            by_u = (product(table.mT, slope_x) * along_y).sum(1)
            by_v = (product(table, slope_y) * along_x).sum(1)
            return list_slopes(by_u, by_v)

        def weigh(maps: Tensor) -> Slopes:
            weights = maps.flatten(2)
            by_u = (slope_x[:, first] * along_y[:, second] * weights).sum(1)
            by_v = (along_x[:, first] * slope_y[:, second] * weights).sum(1)
            return list_slopes(by_u, by_v)

        def list_slopes(by_u: Tensor, by_v: Tensor) -> Slopes:
            grown = -(by_u * u + by_v * v) * self._growth(params, name)[..., 0]
            slopes = [(by / width[..., 0]).unflatten(1, size) for by in (by_u, by_v)]
            return (slopes[0], slopes[1]), {
                "source_center_x": -slopes[0],
                "source_center_y": -slopes[1],
                name: grown.unflatten(1, size),
            }

        return Maps(basis, contract, weigh)

    def _growth(self, params: Mapping[str, Tensor], name: str) -> Tensor:
        """Relative change of the width for a unit change of its parameter, ``(b, 1, 1)``."""
        return 1 / column(params, name)


class ShapeletSource(_Separable):
    """Shapelets of all orders up to ``n_max``, with weaker ones preferred, the more so the finer.

    The regularisation of an amplitude of order n is ``(1 + n)^2``: what the amplitudes of a source
    with an exponential profile fall off like.
    """

    def __init__(self, n_max: int) -> None:
        self.n_max, self.count = n_max, count_shapelets(n_max)
        self._orders = list_orders(n_max)
        self.ranges = {
            "source_center_x": CENTER_X,
            "source_center_y": CENTER_Y,
            "source_beta": _BETA,
        }

    def _axis(self, u: Tensor) -> tuple[Tensor, Tensor]:
        functions = hermite_functions(u, self.n_max + 1)
        order = torch.arange(self.n_max + 1, dtype=u.dtype, device=u.device)[:, None, None]
        slopes = -torch.sqrt((order + 1) / 2) * functions[1:]
        slopes[1:] += torch.sqrt(order[1:] / 2) * functions[: self.n_max]
        return functions[:-1].movedim(0, 1), slopes.movedim(0, 1)

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
        return torch.diag(torch.tensor([float(1 + a + b) ** 2 for a, b in self._orders]).double())


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

    def _axis(self, u: Tensor) -> tuple[Tensor, Tensor]:
        knots = torch.arange(self.n, dtype=u.dtype, device=u.device) - 0.5 * (self.n - 1)
        offset = u[:, None] - knots[:, None]
        r = offset.abs().clamp_max(2)
        near = r < 1
        value = torch.where(near, (1.5 * r - 2.5) * r * r + 1, ((2.5 - 0.5 * r) * r - 4) * r + 2)
        slope = torch.where(near, (4.5 * r - 5) * r, (5 - 1.5 * r) * r - 4)
        return value, torch.sign(offset) * slope * (r < 2)

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
