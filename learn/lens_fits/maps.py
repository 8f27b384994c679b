"""S/N maps of one more mass in every place, marginalised over everything that a fit has fitted."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from lensphys.detection.absorption import Absorption
from lensphys.detection.maps import summarise
from lensphys.rendering import Pixels

#: Places on a side of a map, at most: its time goes with the fourth power of their number.
_PLACES = 40
#: Cores of the masses, in blocks of pixels: a compact one, and one as wide as massive haloes are.
CORES = (0.5, 2.5)
#: Floor of the square of what a mass changes, over the largest; far below it, nothing is seen.
_FLOOR = 1e-4
#: Least and largest decimal logarithm of an error that is told apart.
_ERRORS = (-8.0, 4.0)
#: Errors of places that count for the statistics, over the least one.
_SEEN = 1e3**0.5


@dataclasses.dataclass(frozen=True, eq=False)
class SearchMaps:
    """S/N and error of a mass in the middle of every block of pixels, for each of the cores.

    Attributes:
        snr: (B, 2, H, W), the same for all pixels of a block.
        log_error: (B, 2, H, W), decimal logarithm of the error of the mass: of its ``theta_E^2``
            over the width of a pixel, arcsec.
        statistics: (B, 48), those of :meth:`lensphys.detection.maps.DetectionMaps.statistics` for
            each of the cores in turn.
    """

    snr: Tensor
    log_error: Tensor
    statistics: Tensor


def count_pixels_of_block(shape: tuple[int, int]) -> int:
    """Pixels along a side of a block, for images of this shape."""
    return -(-max(shape) // _PLACES)


@torch.no_grad()
def search_masses(near: Absorption, response: Tensor) -> SearchMaps:
    """Search the residuals of fits for a mass in the middle of each block of pixels.

    A mass m in place k deflects by ``m alpha_k`` and changes the residual r by ``m a_k``, with
    ``a_k`` the response times ``alpha_k``. Of that the fit leaves ``P a_k``, so that the mass is
    ``a_k . P r / (a_k . P a_k)``, its error ``(a_k . P a_k)^-1/2``, and the S/N their quotient
    (Koopmans 2005, MNRAS 363, 1136, without P; see :func:`lensphys.detect`, which does it for every
    pixel and blurs the deflected light; here the blurred light is deflected, and pixels are taken
    together in blocks, at a twentieth of the time).

    Args:
        near: fits of B images.
        response: (B, 2, H, W), see :func:`measure_response`.
    """
    shape = (response.shape[-2], response.shape[-1])
    block = count_pixels_of_block(shape)
    response = response.float()
    due = _pull(near.due.float()[:, None], response, block)
    rows = _pull(near.rows.float(), response, block)
    along, up = response.split(1, 1)
    squares = _sum_blocks(torch.cat([along * along, along * up, up * up], 1), block).flatten(1)
    places = (-(-shape[0] // block), -(-shape[1] // block))
    found = []
    for core in CORES:
        deflection, second = _kernels(*places, core, response.device)
        dot = due.flatten(2)[:, 0] @ deflection
        fixed = squares @ second
        free = (fixed - (rows.flatten(2) @ deflection).square().sum(1)).clamp_min(0.0)
        floor = _FLOOR * fixed.amax(1, keepdim=True) + torch.finfo(fixed.dtype).tiny
        found.append([dot, (free + floor).rsqrt(), (fixed + floor).rsqrt()])
    dot, error, error_fixed = (torch.stack(part, 1) for part in zip(*found, strict=True))
    seen = error_fixed <= _SEEN * error_fixed.amin(2, keepdim=True)
    statistics = [
        summarise((dot * scale)[:, k], seen[:, k])
        for k in range(len(CORES))
        for scale in (error, error_fixed)
    ]
    log_error = (block * error).log10().clamp(*_ERRORS)
    return SearchMaps(
        snr=_spread((dot * error).unflatten(2, places), block, shape),
        log_error=_spread(log_error.unflatten(2, places), block, shape),
        statistics=torch.cat(statistics, 1),
    )


def measure_response(near: Absorption, pixels: Pixels) -> Tensor:
    """Change of B images with a deflection along x and y, (B, 2, H, W), in sigma per arcsec.

    Args:
        near: fits of the images.
        pixels: of these images.
    """
    return pixels.collect(near.slopes.to(pixels.x.dtype)) * near.weight[:, None].to(pixels.x.dtype)


@torch.no_grad()
def change_snr(change: Tensor, response: Tensor, log_error: Tensor) -> Tensor:
    """Change of the S/N maps (B, 2, H, W) by changes of the residual that a fit leaves.

    Args:
        change: (B, 1, H, W) in units of the noise.
        response, log_error: of :func:`search_masses`.
    """
    shape = (change.shape[-2], change.shape[-1])
    block = count_pixels_of_block(shape)
    places = (-(-shape[0] // block), -(-shape[1] // block))
    with torch.autocast(change.device.type, enabled=False):
        pulled = _pull(change.float(), response.float(), block).flatten(2)[:, 0]
        dots = torch.stack([pulled @ _kernels(*places, c, change.device)[0] for c in CORES], 1)
        error = 10.0 ** log_error.float()[..., ::block, ::block] / block
        snr = dots.unflatten(2, places) * error
    return _spread(snr, block, shape).to(change)


def _pull(maps: Tensor, response: Tensor, block: int) -> Tensor:
    """Sums over blocks of maps (B, n, H, W) times the response: (B, n, 2, h * w)."""
    both = torch.stack([maps * part for part in response.split(1, 1)], 2)
    sums: Tensor = _sum_blocks(both.flatten(1, 2), block).flatten(2).unflatten(1, (-1, 2))
    return sums


def _sum_blocks(maps: Tensor, block: int) -> Tensor:
    """Sums over blocks of pixels, those that are not whole at two of the edges included."""
    ny, nx = maps.shape[-2:]
    whole = F.pad(maps, (0, -nx % block, 0, -ny % block))
    return F.avg_pool2d(whole, block) * block**2


def _spread(maps: Tensor, block: int, shape: tuple[int, int]) -> Tensor:
    """Maps of blocks as maps of pixels."""
    fine = maps.repeat_interleave(block, -2).repeat_interleave(block, -1)
    return fine[..., : shape[0], : shape[1]]


@functools.lru_cache(maxsize=8)
def _kernels(ny: int, nx: int, core: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Deflections by a mass in each of N blocks, and their products, at all blocks.

    Returns:
        (2 N, N), along x and y, in blocks for a mass of one square block; (3 N, N), squares along
        x, twice the mixed products, along y.
    """
    y, x = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
    x, y = (v.flatten().to(device, torch.float32) for v in (x, y))
    dx, dy = x[:, None] - x, y[:, None] - y
    square = dx.square() + dy.square() + core**2
    along, up = dx / square, dy / square
    return torch.cat([along, up]), torch.cat([along.square(), 2 * along * up, up.square()])
