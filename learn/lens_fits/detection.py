"""The detection map: the S/N of one more point mass in every place of an image."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

#: Places on a side of the map, at most: its time goes with the fourth power of their number.
_PLACES = 40
#: Core of a mass, in blocks of pixels.
_CORE = 0.5
#: Floor of the response to a mass, over the largest; far below it, nothing is seen.
_FLOOR = 1e-3


@torch.no_grad()
def detection_map(residual: Tensor, response: Tensor) -> Tensor:
    """The S/N at which one more point mass, in each place in turn, is seen: a matched filter.

    A mass m at theta_k deflects by m alpha_k, and to first order changes the residual r by m a_k,
    with a_k the response g times alpha_k. Least squares give ``m = r.a_k / a_k.a_k`` with an error
    of ``1 / |a_k|``, and so the S/N ``r.a_k / |a_k|`` (Koopmans 2005, MNRAS 363, 1136, does it for
    the whole potential at once). Its sign is that of the mass. The smooth lens, once fitted, has
    taken up part of r but not of a_k: of noise alone the map is below one.
    :func:`lensphys.detect` takes that part out of both, which needs the Jacobian of the fit; stored
    fits do not hold it, and encoders are trained on this map.

    Pixels are taken together in blocks, so that large images take no longer.

    Args:
        residual: (B, 1, H, W) in units of the noise.
        response: (B, 2, H, W) change of the image with a deflection along x and y, in those units.

    Returns:
        (B, 1, H, W), the same for all pixels of a block.
    """
    ny, nx = residual.shape[-2:]
    block = -(-max(ny, nx) // _PLACES)
    # Half precision would not do for the sums.
    with torch.autocast(residual.device.type, enabled=False):
        r, (along, up) = residual.float(), response.float().split(1, 1)
        products = torch.cat([r * along, r * up, along * along, along * up, up * up], 1)
        sums = F.avg_pool2d(products, block, ceil_mode=True, count_include_pad=False)
        shape = sums.shape[-2:]
        first, second = _deflections(shape[0], shape[1], sums.device)
        explained = sums[:, :2].flatten(1) @ first
        strength = sums[:, 2:].flatten(1) @ second
        floor = _FLOOR * strength.amax(1, keepdim=True) + torch.finfo(strength.dtype).tiny
        snr = block * explained / (strength + floor).sqrt()
    fine = snr.view(-1, 1, *shape).repeat_interleave(block, -2).repeat_interleave(block, -1)
    return fine[..., :ny, :nx].to(residual)


@functools.lru_cache(maxsize=8)
def _deflections(ny: int, nx: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Deflections by a mass in each of N blocks, and their products, at all blocks.

    Returns:
        (2 N, N), along x and y; (3 N, N), squares along x, twice the mixed products, along y.
    """
    y, x = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
    x, y = (v.flatten().to(device, torch.float32) for v in (x, y))
    dx, dy = x[:, None] - x, y[:, None] - y
    square = dx.square() + dy.square() + _CORE**2
    along, up = dx / square, dy / square
    products = [along.square(), 2 * along * up, up.square()]
    return torch.cat([along, up]), torch.cat(products)
