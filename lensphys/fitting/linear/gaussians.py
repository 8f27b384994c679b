"""Concentric Gaussians: the light of a lens, and compact sources."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.ellipticity import stretch
from lensphys.fit_range import CENTER_X, CENTER_Y, E1, E2
from lensphys.fitting.linear.components import Component, Maps, Slopes, column
from lensphys.light.base import LightProfile
from lensphys.light.gaussian import radius_jacobian
from lensphys.light.multi_gaussian import MultiGaussian
from lensphys.products import product
from lensphys.rendering import Pixels, sub_pixels


class GaussianSource(Component):
    """Concentric Gaussians of fixed widths: a compact source that cannot copy an image.

    Args:
        sigma: standard deviations, ``(K,)``, arcsec.
    """

    def __init__(self, sigma: Tensor) -> None:
        self.sigma, self.count = sigma.double(), len(sigma)
        self.ranges = {
            "source_center_x": CENTER_X,
            "source_center_y": CENTER_Y,
            "source_e1": E1,
            "source_e2": E2,
        }

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        names = "source_center_x", "source_center_y", "source_e1", "source_e2"
        return _evaluate_gaussians(params, names, self.sigma, x, y)

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


def _evaluate_gaussians(
    params: Mapping[str, Tensor],
    names: tuple[str, str, str, str],
    sigma: Tensor,
    x: Tensor,
    y: Tensor,
    box: float = 0.0,
) -> Maps:
    """Maps of Gaussians of unit flux about one centre and of one shape; names of x, y, e1, e2.

    Averaged over a box, arcsec, a Gaussian is nearly another: their covariances add.
    """
    center_x, center_y, e1, e2 = (column(params, name) for name in names)
    dx, dy = x - center_x, y - center_y
    u, v = stretch(dx, dy, e1, e2)
    modulus2 = e1 * e1 + e2 * e2
    # R^2 = q x^2 + y^2 / q along the axes.
    r2, round2 = (u * u + v * v) / (1 - modulus2), dx * dx + dy * dy
    size, added = (sigma**2).to(x)[:, None, None], box * box / 12
    trace = 2 * (1 + modulus2) / (1 - modulus2)
    # Determinant of the covariance.
    volume = size * size + added * (size * trace[:, None] + added)
    by_r2, by_round2 = 0.5 * size / volume, 0.5 * added / volume
    exponent = by_r2 * r2[:, None]
    if added:
        exponent = exponent + by_round2 * round2[:, None]
    basis = torch.exp(-exponent) / (2 * math.pi * torch.sqrt(volume))

    def contract(amplitudes: Tensor) -> Slopes:
        return list_slopes(amplitudes.to(x.dtype)[:, :, None, None], basis)

    def weigh(maps: Tensor) -> Slopes:
        return list_slopes(torch.ones_like(maps[:, :, :1, :1]), basis * maps)

    def list_slopes(parts: Tensor, basis: Tensor) -> Slopes:
        by_trace = parts * added * size / volume
        weights = [-parts * by_r2]
        if added:
            more = [-parts * by_round2, by_trace, by_trace * by_r2, by_trace * by_round2]
            weights += more
        stacked = torch.cat(weights, 2)[..., 0].mT
        sums = product(stacked, basis.flatten(2)).unflatten(2, r2.shape[-2:]).unbind(1)
        _, by_name = radius_jacobian(dx, dy, e1, e2)
        found = {k: sums[0] * by_name[k] for k in ("center_x", "center_y", "e1", "e2")}
        if added:
            found["center_x"] = found["center_x"] - 2 * sums[1] * dx
            found["center_y"] = found["center_y"] - 2 * sums[1] * dy
            wider = sums[3] * r2 + sums[4] * round2 - 0.5 * sums[2]
            for k, e in (("e1", e1), ("e2", e2)):
                found[k] = found[k] + wider * 8 * e / (1 - modulus2) ** 2
        along = -found["center_x"], -found["center_y"]
        return along, dict(zip(names, found.values(), strict=True))

    return Maps(basis, contract, weigh)


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

    def evaluate(self, params: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Maps:
        groups, counts = [], []
        for sigma, (e1, e2) in zip(self.sigma, self._shapes, strict=True):
            names = "lens_light_center_x", "lens_light_center_y", e1, e2
            # The box of a pixel widens a Gaussian like another; where the Gaussian is narrow, that
            # of a part of the pixel.
            narrow = int((sigma < self.spacing).sum())
            for parts, some in ((2, sigma[:narrow]), (1, sigma[narrow:])):
                if len(some):
                    counts.append(len(some))
                    groups.append(self._evaluate_some(params, names, some, x, y, parts))
        basis = torch.cat([maps.basis for maps in groups], 1)

        def contract(amplitudes: Tensor) -> Slopes:
            parts = zip(groups, amplitudes.split(counts, 1), strict=True)
            return None, add([maps.contract(some)[1] for maps, some in parts])

        def weigh(weights: Tensor) -> Slopes:
            parts = zip(groups, weights.split(counts, 1), strict=True)
            return None, add([maps.weigh(some)[1] for maps, some in parts])

        def add(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for part in parts:
                for name, value in part.items():
                    found[name] = found[name] + value if name in found else value
            return found

        return Maps(basis, contract, weigh)

    def _evaluate_some(
        self,
        params: Mapping[str, Tensor],
        names: tuple[str, str, str, str],
        sigma: Tensor,
        x: Tensor,
        y: Tensor,
        parts: int,
    ) -> Maps:
        box = self.spacing / parts
        if parts == 1:
            return _evaluate_gaussians(params, names, sigma, x, y, box)
        fine = _evaluate_gaussians(
            params, names, sigma, *sub_pixels(x, y, self.spacing, parts), box
        )

        def contract(amplitudes: Tensor) -> Slopes:
            return average(fine.contract(amplitudes)[1])

        def weigh(maps: Tensor) -> Slopes:
            repeated = maps.repeat_interleave(parts, -2).repeat_interleave(parts, -1)
            return average(fine.weigh(repeated)[1])

        def average(found: dict[str, Tensor]) -> Slopes:
            return None, {name: _average(value, parts) for name, value in found.items()}

        return Maps(_average(fine.basis, parts), contract, weigh)

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
