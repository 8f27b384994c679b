"""Unknown masses beside a fitted lens, and the change that they make to its image."""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

import lensphys as lp

#: The range of masses, heaviest over lightest.
_MASSES = 30.0
#: Fraction of the groups that are scattered over the whole image instead of lying in a clump.
_SCATTERED = 0.4
#: Changes below this, before they are scaled, are none.
_FAINTEST = 1e-6
#: Sizes of a clump, pixels: uniform in the logarithm, as its flattening.
_SIZES, _FLATTENING = (0.5, 15.0), 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Perturbers:
    """Groups of point masses, one an image.

    Attributes:
        change: (B, 1, H, W) of the images, in units of the noise, to first order and less most of
            what a refit of the smooth lens would absorb; 0 where there is no group.
        present: (B,) 1 where there is one, else 0.
        described: (B, 3) of each group: ``log(1 + S/N)`` of the change, logarithms of the effective
            number of masses and of the size of the group in pixels.
    """

    change: Tensor
    present: Tensor
    described: Tensor


def draw_perturbers(
    response: Tensor, *, most: int, snr: tuple[float, float], absent: float
) -> Perturbers:
    """Random groups of masses near the arcs of images, one mass or many, clumped or scattered.

    They are generic: what holds for every mass that a smooth lens lacks, whatever its nature.

    Args:
        response: (B, 2, H, W) change of the image with a deflection along x and along y, in units
            of the noise; a channel of the lens fits.
        most: point masses in a group.
        snr: of the change that a group makes, the ends of a range uniform in the logarithm.
        absent: fraction of images that are left as they are.
    """
    count, _, ny, nx = response.shape
    x, y = lp.pixel_grid((ny, nx), 1.0, dtype=response.dtype, device=response.device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, device=response.device, dtype=response.dtype)

    def log_uniform(low: float, high: float, *shape: int) -> Tensor:
        return low * torch.exp(uniform(*shape) * math.log(high / low))

    # The middle of a group lies where the image answers to a deflection.
    strength = response.pow(2).sum(1).flatten(1).sqrt()
    strength = torch.where(strength.sum(1, keepdim=True) > 0, strength, torch.ones_like(strength))
    place = _places(strength)
    size, ratio = log_uniform(*_SIZES), torch.exp(-_FLATTENING * uniform())
    turn = math.pi * uniform()
    normal = torch.randn(2, count, most, device=response.device, dtype=response.dtype)
    along, across = normal[0] * size[:, None], normal[1] * (size * ratio)[:, None]
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    wide = uniform() < _SCATTERED
    clump_x = x.flatten()[place][:, None] + along * cos - across * sin
    clump_y = y.flatten()[place][:, None] + along * sin + across * cos
    over_x, over_y = (0.7 * n * (uniform(most) - 0.5) for n in (nx, ny))
    center_x = torch.where(wide[:, None], over_x, clump_x)
    center_y = torch.where(wide[:, None], over_y, clump_y)
    members = log_uniform(1.0, float(most)).round()
    mass = log_uniform(1.0, _MASSES, most)
    mass = torch.where(torch.arange(most, device=mass.device) < members[:, None], mass, 0.0)

    alpha_x, alpha_y = _deflection(x, y, mass, center_x, center_y)
    change = response[:, 0] * alpha_x + response[:, 1] * alpha_y
    change = change - _absorb(change, response)
    present = (uniform() >= absent).to(response)
    wanted = log_uniform(*snr) * present
    length = change.flatten(1).norm(dim=1)
    # Where nothing answers, nothing can be seen.
    present = present * (length > _FAINTEST)
    wanted = wanted * present
    change = change * (wanted / length.clamp_min(_FAINTEST))[:, None, None]
    described = [
        torch.log1p(wanted),
        torch.log(mass.sum(1).pow(2) / mass.pow(2).sum(1)),
        torch.log(_spread(mass, center_x, center_y) + _SIZES[0]),
    ]
    return Perturbers(change[:, None], present, torch.stack(described, 1))


def _places(strength: Tensor) -> Tensor:
    """One of N places (B,) for each row of their weights (B, N), which are not negative."""
    below = strength.cumsum(1)
    drawn = torch.rand(len(strength), 1, device=strength.device, dtype=strength.dtype)
    place = torch.searchsorted(below, drawn * below[:, -1:], right=True)
    return place[:, 0].clamp_max(strength.shape[1] - 1)  # a product can round up to all of it


def _deflection(
    x: Tensor, y: Tensor, mass: Tensor, center_x: Tensor, center_y: Tensor
) -> tuple[Tensor, Tensor]:
    """Deflection of point masses (B, K), each moved to the next corner of four pixels.

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


def _absorb(change: Tensor, response: Tensor) -> Tensor:
    """The part of a change (B, H, W) that a smooth lens would take up, by linear least squares.

    A shift, the linear deflections of shear, convergence and rotation, and that of an isothermal
    lens, each times the response of the image. The shape of the source would take up some more.
    """
    along, up, squares = _smooth_fields(
        (change.shape[-2], change.shape[-1]), change.dtype, change.device
    )
    right, top = response[:, 0].flatten(1), response[:, 1].flatten(1)
    difference = change.flatten(1)
    # The sums of products of the fields' images, without those images.
    normal = torch.cat([right * right, right * top, top * top], 1) @ squares
    normal = normal.view(len(change), len(along), len(along))
    scale = normal.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
    ridge = 1e-6 * torch.eye(len(along), device=change.device, dtype=change.dtype)
    wanted = (right * difference) @ along.T + (top * difference) @ up.T
    weights = torch.linalg.solve(normal + ridge * scale.clamp_min(1e-12), wanted[..., None])[..., 0]
    absorbed: Tensor = right * (weights @ along) + top * (weights @ up)
    return absorbed.view_as(change)


@functools.lru_cache(maxsize=4)
def _smooth_fields(
    shape: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Deflections (F, H * W) along x and y that a smooth lens can make, and their products.

    The products (3 * H * W, F * F) are those along x, mixed, and along y.
    """
    x, y = (v.flatten() for v in lp.pixel_grid(shape, 1.0, dtype=dtype, device=device))
    r = torch.hypot(x, y).clamp_min(0.5)
    one, none, half = torch.ones_like(x), torch.zeros_like(x), 0.5 * max(shape)
    along = torch.stack([one, none, x / half, none, y / half, none, x / r])
    up = torch.stack([none, one, none, x / half, none, y / half, y / r])

    def products(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, None] * b).flatten(0, 1)

    mixed = products(along, up) + products(up, along)
    squares = torch.cat([products(along, along), mixed, products(up, up)], 1)
    return along, up, squares.T.contiguous()


def _spread(mass: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Standard deviation (B,) of masses (B, K) about their middle."""
    share = mass / mass.sum(1, keepdim=True)
    variance = [(share * (v - (share * v).sum(1, keepdim=True)).pow(2)).sum(1) for v in (x, y)]
    return torch.sqrt(variance[0] + variance[1])
