"""Concentric Gaussians: the light of a lens, and compact sources."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lensphys.fit_range import CENTER_X, CENTER_Y, E1, E2
from lensphys.fitting.linear.components import Component, Maps, Slopes, add_slopes, column
from lensphys.fitting.linear.windows import enclose
from lensphys.light.base import LightProfile
from lensphys.light.multi_gaussian import MultiGaussian
from lensphys.products import product
from lensphys.rendering import Pixels, sub_pixels

#: Parts along a side of a pixel over which narrow Gaussians are averaged.
_PARTS = 2


class GaussianSource(Component):
    """Concentric Gaussians of fixed widths: a compact source that cannot copy an image.

    Args:
        sigma: standard deviations, ``(K,)``, arcsec.
    """

    def __init__(self, sigma: Tensor) -> None:
        self.sigma, self.count = sigma.double(), len(sigma)
        shape, center = ("source_e1", "source_e2"), ("source_center_x", "source_center_y")
        self._gaussians = _Gaussians(center, [shape], [self.sigma])
        self.ranges = {
            "source_center_x": CENTER_X,
            "source_center_y": CENTER_Y,
            "source_e1": E1,
            "source_e2": E2,
        }

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        return self._gaussians.evaluate(params, x, y)

    def find_lit(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return self._gaussians.find_lit(params, x, y)

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        gaussians = MultiGaussian(
            amp=amplitudes,
            sigma=self.sigma,
            e1=params["source_e1"],
            e2=params["source_e2"],
            center_x=params["source_center_x"],
            center_y=params["source_center_y"],
        )
        return [gaussians]


@dataclasses.dataclass(frozen=True)
class _Gaussians:
    """Gaussians of unit flux about one centre, on one or more ellipses, averaged over a box.

    Averaged over a box, a Gaussian is nearly another: their covariances add. Its brightness is
    ``norm exp(-(p x^2 + q x y + s y^2))``.

    Attributes:
        center: names of the centre.
        shapes: names of the ellipticity of every ellipse.
        sigma: standard deviations of the Gaussians of every ellipse, arcsec.
        box: side of the box, arcsec.
    """

    center: tuple[str, str]
    shapes: Sequence[tuple[str, str]]
    sigma: Sequence[Tensor]
    box: float = 0.0

    @property
    def counts(self) -> list[int]:
        """Number of Gaussians of every ellipse."""
        return [len(sigma) for sigma in self.sigma]

    def form(self, params: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients ``p, q, s`` ``(b, K, 3)``, norms ``(b, K)``, and their derivatives.

        The derivatives ``(b, 2, 4, K)`` are those by ``e1`` and ``e2``, of minus the coefficients
        and of the logarithm of the norm.
        """
        pairs = [torch.stack([params[name] for name in pair], 1) for pair in self.shapes]
        count, added = len(self.sigma), self.box**2 / 12
        e = torch.stack(pairs, 2)
        size = (torch.cat(list(self.sigma)) ** 2).to(e)
        if count > 1:
            e = e.repeat_interleave(torch.tensor(self.counts, device=e.device), 2)
        e1, e2 = e.unbind(1)
        modulus2 = (e * e).sum(1)
        inverse = 1 / (1 - modulus2)
        # R^2 = q x^2 + y^2 / q along the axes, as a form in x^2, x y and y^2, and its derivatives.
        one, zero = torch.ones_like(e1), torch.zeros_like(e1)
        form = torch.stack([1 + modulus2 - 2 * e1, -4 * e2, 1 + modulus2 + 2 * e1]) * inverse
        by_e1 = torch.stack([2 * e1 - 2, zero, 2 * e1 + 2])
        by_e2 = torch.stack([2 * e2, zero - 4, 2 * e2])
        by_form = (torch.stack([by_e1, by_e2]) + 2 * e.movedim(1, 0)[:, None] * form) * inverse
        # Determinant of the covariance, and its relative derivatives.
        volume = size * size + added * (2 * size * (1 + modulus2) * inverse + added)
        wider = (8 * added * size * inverse**2 / volume)[:, None] * e
        wider = wider.movedim(1, 0)[:, None]
        by_r2 = 0.5 * size / volume
        coefficients = by_r2 * form + 0.5 * added / volume * torch.stack([one, zero, one])
        slopes = torch.cat([wider * coefficients - by_r2 * by_form, -0.5 * wider], 1)
        norm = torch.rsqrt(volume) / (2 * math.pi)
        return coefficients.permute(1, 2, 0), norm, slopes.movedim(2, 0)

    def find_lit(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Mask of the places that have light, above rounding."""
        half: Tensor | float = 0.0
        for names, sigma in zip(self.shapes, self.sigma, strict=True):
            modulus = torch.hypot(*(params[name] for name in names))
            widest = (sigma.max() ** 2).to(modulus) * (1 + modulus) / (1 - modulus)
            half = torch.sqrt(widest + self.box**2 / 12).clamp_min(half)
        half = math.sqrt(-2 * math.log(0.1 * torch.finfo(x.dtype).eps)) * half + self.box
        half = torch.as_tensor(half)[:, None, None]
        center_x, center_y = (column(params, name) for name in self.center)
        return ((x - center_x).abs() < half) & ((y - center_y).abs() < half)

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        """Maps of all Gaussians, in the order of the ellipses."""
        coefficients, norm, by_e = self.form(params)
        dx, dy = x - column(params, self.center[0]), y - column(params, self.center[1])
        size = dx.shape[-2:]
        dx, dy = dx.flatten(1), dy.flatten(1)
        squares = torch.stack([dx * dx, dx * dy, dy * dy, torch.ones_like(dx)], 1)
        basis = torch.exp(product(-coefficients, squares[:, :3])) * norm[..., None]

        def contract(amplitudes: Tensor) -> Slopes:
            return list_slopes(amplitudes.to(x.dtype)[:, None], basis)

        def weigh(maps: Tensor) -> Slopes:
            return list_slopes(torch.ones_like(norm)[:, None], basis * maps.flatten(2))

        def list_slopes(parts: Tensor, basis: Tensor) -> Slopes:
            xx, xy, yy = product(parts * coefficients.mT, basis).unbind(1)
            by_x, by_y = 2 * xx * dx + xy * dy, xy * dx + 2 * yy * dy
            found = {self.center[0]: by_x, self.center[1]: by_y}
            weights = (parts[:, None] * by_e).flatten(1, 2)
            own = zip(weights.split(self.counts, 2), basis.split(self.counts, 1), strict=True)
            for names, (some, maps) in zip(self.shapes, own, strict=True):
                sums = product(some, maps).unflatten(1, (2, 4))
                found |= zip(names, (sums * squares[:, None]).sum(2).unbind(1), strict=True)
            along = -by_x.unflatten(1, size), -by_y.unflatten(1, size)
            return along, {name: value.unflatten(1, size) for name, value in found.items()}

        return Maps(basis.unflatten(2, size), contract, weigh)


class GaussianLight(Component):
    """Lens light: concentric Gaussians of one shape, or of two for twisted and mixed isophotes.

    Multi-Gaussian expansion, Emsellem, Monnet & Bacon 1994 (A&A 285, 723); Cappellari 2002 (MNRAS
    333, 400). Each Gaussian is averaged over its pixel, to 0.3% of its peak.

    Args:
        pixels: of the images, which decide on the widths: from half a pixel to twice the field.
        shapes: number of ellipses, 1 or 2.
    """

    def __init__(self, pixels: Pixels, shapes: int = 2) -> None:
        scale = pixels.pixel_scale
        half_field = 0.5 * scale * min(pixels.shape)
        self.spacing = pixels.ray_spacing
        ladders = [_ladder(0.5 * scale, 0.62 * half_field, 12)]
        if shapes == 2:
            ladders.append(_ladder(3 * scale, 1.9 * half_field, 9))
        else:
            ladders = [_ladder(0.5 * scale, 1.9 * half_field, 16)]
        self.sigma = ladders
        self.count = sum(map(len, ladders))
        self.ranges = {"lens_light_center_x": CENTER_X, "lens_light_center_y": CENTER_Y}
        self._shapes = [("lens_light_e1", "lens_light_e2")]
        if shapes == 2:
            self._shapes.append(("lens_light_outer_e1", "lens_light_outer_e2"))
        for e1, e2 in self._shapes:
            self.ranges |= {e1: E1, e2: E2}
        # The box of a pixel widens a Gaussian like another; where the Gaussian is narrow, that of a
        # part of the pixel.
        center, first = ("lens_light_center_x", "lens_light_center_y"), ladders[0]
        narrow = int((first < self.spacing).sum())
        wide = [first[narrow:], *ladders[1:]]
        self._wide = _Gaussians(center, self._shapes, wide, self.spacing)
        self._core = None
        if narrow:
            part = self.spacing / _PARTS
            self._core = _Gaussians(center, self._shapes[:1], [first[:narrow]], part)

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        groups = [self._wide.evaluate(params, x, y)]
        if self._core is not None:
            groups.insert(0, self._evaluate_core(self._core, params, x, y))
        counts = [maps.basis.shape[1] for maps in groups]
        basis = torch.cat([maps.basis for maps in groups], 1)

        def contract(amplitudes: Tensor) -> Slopes:
            parts = zip(groups, amplitudes.split(counts, 1), strict=True)
            return None, add_slopes(maps.contract(some) for maps, some in parts)[1]

        def weigh(weights: Tensor) -> Slopes:
            parts = zip(groups, weights.split(counts, 1), strict=True)
            return None, add_slopes(maps.weigh(some) for maps, some in parts)[1]

        return Maps(basis, contract, weigh)

    def _evaluate_core(
        self, core: _Gaussians, params: Mapping[str, Tensor], x: Tensor, y: Tensor
    ) -> Maps:
        """Maps of narrow Gaussians, of parts of the pixels, around their centre alone."""
        with torch.no_grad():
            near = enclose(core.find_lit(params, x, y))
        rays = sub_pixels(near.cut(x), near.cut(y), self.spacing, _PARTS)
        fine = core.evaluate(params, *rays)

        def contract(amplitudes: Tensor) -> Slopes:
            return average(fine.contract(amplitudes)[1])

        def weigh(maps: Tensor) -> Slopes:
            repeated = near.cut(maps).repeat_interleave(_PARTS, -2).repeat_interleave(_PARTS, -1)
            return average(fine.weigh(repeated)[1])

        def average(found: dict[str, Tensor]) -> Slopes:
            return None, {k: near.place(_average(value, _PARTS)) for k, value in found.items()}

        return Maps(near.place(_average(fine.basis, _PARTS)), contract, weigh)

    def profiles(self, params: Mapping[str, Tensor], amplitudes: Tensor) -> list[LightProfile]:
        """Light profile of each ellipse."""
        counts = [len(sigma) for sigma in self.sigma]
        parts = zip(self.sigma, self._shapes, amplitudes.split(counts, 1), strict=True)
        return [
            MultiGaussian(
                amp=amp,
                sigma=sigma,
                e1=params[e1],
                e2=params[e2],
                center_x=params["lens_light_center_x"],
                center_y=params["lens_light_center_y"],
            )
            for sigma, (e1, e2), amp in parts
        ]


def _ladder(low: float, high: float, count: int) -> Tensor:
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)


def _average(maps: Tensor, parts: int) -> Tensor:
    """Mean over ``parts x parts`` parts of every pixel."""
    *batch, ny, nx = maps.shape
    return maps.reshape(*batch, ny // parts, parts, nx // parts, parts).mean((-3, -1))
