"""Groups of unknown masses beside fitted lenses, and what fits leave of the changes they make."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

import lensphys as lp
from lensphys.detection.absorption import Absorption

#: The range of masses, heaviest over lightest.
_MASSES = 30.0
#: Fraction of the groups that are scattered over the whole image instead of lying in a clump.
_SCATTERED = 0.4
#: Changes below this, in sigma for masses of one square pixel in all, are none; and parts of the
#: square of a change below this are not left, but rounding.
_FAINTEST, _ABSORBED = 1e-6, 1e-5
#: Sizes of a clump, pixels: uniform in the logarithm, as its flattening.
_SIZES, _FLATTENING = (0.5, 15.0), 4.0


@dataclasses.dataclass(frozen=True)
class DrawSettings:
    """Groups that are drawn beside every lens fit of a data set.

    Args:
        count: groups an image.
        most: point masses in a group.
    """

    count: int
    most: int


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Groups of point masses, K beside each of B lens fits.

    Attributes:
        change: (B, K, H, W) what a fit leaves of the change that a group makes, to first order, in
            units of the noise, its squares summing to one; 0 where nothing is left.
        moments: (B, K, 5) of the masses that make this change: sums of ``m``, ``m^2``, ``m x``,
            ``m y`` and ``m (x^2 + y^2)``, in pixels.
    """

    change: Tensor
    moments: Tensor


def draw_groups(
    response: Tensor, near: Absorption, settings: DrawSettings, seeds: Sequence[int]
) -> Draws:
    """Draw groups of masses near the arcs of images, one mass or many, clumped or scattered.

    They are generic: what holds for every mass that a smooth lens lacks, whatever its nature.

    Args:
        response: (B, 2, H, W) change of the image with a deflection along x and along y, in units
            of the noise.
        near: the fits, of which what they absorb is taken off.
        settings: number and size of groups.
        seeds: one for each image.
    """
    parts = [_draw(one, settings, seed) for one, seed in zip(response, seeds, strict=True)]
    changes, moments = (torch.stack(part) for part in zip(*parts, strict=True))
    whole = changes.flatten(2).norm(dim=2)
    left = near.leave(changes).float()
    length = left.flatten(2).norm(dim=2)
    there = (whole > _FAINTEST) & (length.square() > _ABSORBED * whole.square())
    scale = torch.where(there, 1 / length.clamp_min(1e-30), 0.0)
    powers = torch.tensor([1, 2, 1, 1, 1], device=scale.device)
    return Draws(left * scale[..., None, None], moments * scale[..., None] ** powers)


def _draw(response: Tensor, settings: DrawSettings, seed: int) -> tuple[Tensor, Tensor]:
    """Changes (K, H, W) by the groups of one image, and their moments (K, 5)."""
    rng = torch.Generator().manual_seed(seed)
    count, most, device = settings.count, settings.most, response.device
    ny, nx = response.shape[-2:]
    x, y = lp.pixel_grid((ny, nx), 1.0, dtype=response.dtype, device=device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=rng, dtype=response.dtype).to(device)

    def log_uniform(low: float, high: float, *shape: int) -> Tensor:
        return low * torch.exp(uniform(*shape) * math.log(high / low))

    # The middle of a group lies where the image answers to a deflection.
    strength = response.square().sum(0).flatten().sqrt()
    strength = torch.where(strength.sum() > 0, strength, torch.ones_like(strength))
    place = _places(strength, uniform())
    size, ratio = log_uniform(*_SIZES), torch.exp(-_FLATTENING * uniform())
    turn = math.pi * uniform()
    normal = torch.randn(2, count, most, generator=rng, dtype=response.dtype).to(device)
    along, across = normal[0] * size[:, None], normal[1] * (size * ratio)[:, None]
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    wide = (uniform() < _SCATTERED)[:, None]
    clump_x = x.flatten()[place][:, None] + along * cos - across * sin
    clump_y = y.flatten()[place][:, None] + along * sin + across * cos
    over_x, over_y = (0.7 * n * (uniform(most) - 0.5) for n in (nx, ny))
    center_x, center_y = torch.where(wide, over_x, clump_x), torch.where(wide, over_y, clump_y)
    members = log_uniform(1.0, float(most)).round()
    mass = log_uniform(1.0, _MASSES, most)
    mass = torch.where(torch.arange(most, device=device) < members[:, None], mass, 0.0)
    mass = mass / mass.sum(1, keepdim=True)

    alpha_x, alpha_y = _deflection(x, y, mass, center_x, center_y)
    change = response[0] * alpha_x + response[1] * alpha_y
    square = center_x.square() + center_y.square()
    terms = (mass, mass.square(), mass * center_x, mass * center_y, mass * square)
    return change, torch.stack([term.sum(1) for term in terms], 1)


def _places(strength: Tensor, drawn: Tensor) -> Tensor:
    """One of N places for each number (K,) from 0 to 1, by their weights (N,), not negative."""
    below = strength.cumsum(0)
    place = torch.searchsorted(below, drawn * below[-1], right=True)
    return place.clamp_max(len(strength) - 1)  # a product can round up to all of it


def _deflection(
    x: Tensor, y: Tensor, mass: Tensor, center_x: Tensor, center_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of point masses (K, M), each moved to the next corner of four pixels.

    No pixel is then nearer than 0.7 of its width, where the deflection of a point would be that of
    nothing that exists.
    """
    corner = 0.5 * (x.shape[-1] % 2), 0.5 * (x.shape[-2] % 2)
    center_x, center_y = (
        (center - offset).round() + offset
        for center, offset in zip((center_x, center_y), corner, strict=True)
    )
    masses = lp.PointMass(theta_E=mass.sqrt(), center_x=center_x, center_y=center_y)
    return lp.Population(masses).deflection(x, y)
