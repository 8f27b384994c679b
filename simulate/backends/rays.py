"""The rays of an image: many through pixels where light is steep, one or none through others."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import torch
from torch import Tensor

#: Rays along a side of a pixel that it may take.
LEVELS = (1, 2, 4)
#: Pixels along a side of a block: all of a block take equally many rays.
BLOCK = 2
#: The error of a single ray, in units of the contrast of a block with its neighbours; measured on
#: lensed galaxies, where it falls with the square of the rays along a side.
_ERROR = 0.05
#: Brightness below which a pixel and its neighbours take no ray, sigma of the background.
_DARK = 0.05
#: Distance from a line of mass, in pixels, within which pixels take as many rays as may be; chosen.
NEAR_A_LINE = 3.0


@dataclasses.dataclass(frozen=True)
class Rays:
    """Rays through some pixels of B images; each is padded to as many as the one with most has.

    Attributes:
        x, y: positions, arcsec, (B, 1, K).
        groups: of blocks with equally many rays: rays along a side of a pixel, numbers (P,) of the
            blocks among those of all images, and of their rays (P, R) among all of all images.
        shape: of the images in blocks, ``(my, mx)``.
        block: pixels along a side of a block.
    """

    x: Tensor
    y: Tensor
    groups: tuple[tuple[int, Tensor, Tensor], ...]
    shape: tuple[int, int]
    block: int

    def collect(self, brightness: Tensor) -> Tensor:
        """Mean brightness of each pixel (B, ny, nx), of that which the rays meet (B, 1, K)."""
        rays, n, (my, mx) = brightness.reshape(-1), self.block, self.shape
        found = rays.new_zeros(len(brightness) * my * mx, n, n)
        for factor, blocks, members in self.groups:
            found[blocks] = rays[members].view(-1, n, n, factor**2).mean(-1)
        tiles = found.view(-1, my, mx, n, n).transpose(2, 3)
        return tiles.reshape(-1, my * n, mx * n)


def choose_levels(
    flux: Tensor, sigma: float, exposure: Tensor, tolerance: float, most: int
) -> Tensor:
    """Rays along a side of the pixels of each block (B, my, mx), 0 where they take none.

    As many as bring the error of a pixel, before the PSF averages it with others, below a part of
    its noise.

    Args:
        flux: (B, my, mx) of a pixel in the middle of each block, by one ray, e-/s.
        sigma: of the background, e-/s.
        exposure: (B,) s.
        tolerance: that part of the noise.
        most: rays along a side at most.
    """
    highest, lowest = _spread(flux, torch.maximum), _spread(flux, torch.minimum)
    noise2 = sigma**2 + highest / exposure[:, None, None]
    # Squares, to take no roots: n rays a side where error / (tolerance noise) is n^2.
    wanted4 = (highest - lowest) ** 2 * (_ERROR / tolerance) ** 2 / noise2
    levels = (highest > _DARK * sigma).to(torch.uint8)
    for before, factor in itertools.pairwise(LEVELS):
        if factor <= most:
            levels = torch.where(wanted4 > before**4, factor, levels)
    return levels


def refine_near_lines(
    levels: Tensor, x: Tensor, y: Tensor, lines: dict[str, Tensor], reach: float, most: int
) -> Tensor:
    """Levels with as many rays as may be near lines of mass, where it is not dark.

    Args:
        levels: (B, my, mx) rays along a side of the pixels of each block.
        x, y: (my, mx) middles of the blocks, arcsec.
        lines: (B, K) ``center_x``, ``center_y``, ``half_length`` (arcsec) and ``phi`` of each.
        reach: distance from a line within which they take more rays, arcsec.
        most: rays along a side at most.
    """
    p = {name: values[..., None, None] for name, values in lines.items()}
    dx, dy = x - p["center_x"], y - p["center_y"]
    cos, sin = torch.cos(p["phi"]), torch.sin(p["phi"])
    beyond = ((dx * cos + dy * sin).abs() - p["half_length"]).clamp_min(0)
    near = (torch.hypot(beyond, dy * cos - dx * sin) < reach).any(1)
    highest = max(factor for factor in LEVELS if factor <= most)
    return torch.where(near & (levels > 0), highest, levels)


def place_rays(levels: Tensor, x: Tensor, y: Tensor, step: float, block: int) -> Rays:
    """The rays of B images.

    Args:
        levels: (B, my, mx) rays along a side of the pixels of each block.
        x, y: (my, mx) middles of the blocks, arcsec.
        step: width of a pixel, arcsec.
        block: pixels along a side of a block.
    """
    flat = levels.flatten(1)
    images, count = flat.shape
    at_x, at_y = x.flatten(), y.flatten()
    most = int((flat.long() ** 2).sum(1).max()) * block**2
    # The padding lies in the middle of the image.
    rays_x, rays_y = x.new_zeros(images * most), x.new_zeros(images * most)
    first = torch.arange(images, device=x.device) * most  # free place of each image
    groups = []
    for factor in LEVELS:
        chosen = flat == factor
        image, place = chosen.nonzero(as_tuple=True)
        if not len(image):
            continue
        own, each = chosen.sum(1), (factor * block) ** 2
        rank = torch.arange(len(image), device=x.device) - (own.cumsum(0) - own)[image]
        members = (first[image] + rank * each)[:, None] + torch.arange(each, device=x.device)
        first = first + own * each
        off_x, off_y = (v.to(x) for v in _offsets(factor, block, step))
        rays_x[members] = at_x[place][:, None] + off_x
        rays_y[members] = at_y[place][:, None] + off_y
        groups.append((factor, image * count + place, members))
    return Rays(
        rays_x.view(images, 1, -1),
        rays_y.view(images, 1, -1),
        tuple(groups),
        (x.shape[0], x.shape[1]),
        block,
    )


@functools.lru_cache(maxsize=32)
def _offsets(factor: int, block: int, step: float) -> tuple[Tensor, Tensor]:
    """Places of the rays of a block about its middle, arcsec, those of a pixel side by side."""
    n = factor * block
    # Outside inference mode even when called in it, since they outlive the call.
    with torch.inference_mode(False):
        axis = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * (step / factor)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        tiles = [v.view(block, factor, block, factor).transpose(1, 2).flatten() for v in (x, y)]
    return tiles[0], tiles[1]


def _spread(image: Tensor, choose: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Largest or least of each pixel and the 8 about it."""
    for axis in (-1, -2):
        inner = image.clone()
        n = image.shape[axis]
        for here, there in ((1, 0), (0, 1)):
            own = inner.narrow(axis, here, n - 1)
            own.copy_(choose(own, image.narrow(axis, there, n - 1)))
        image = inner
    return image
