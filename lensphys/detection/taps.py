"""The blur of pixels as a table: the share of every nearby ray in every pixel."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional as F

from lensphys.rendering import Pixels

#: Shares below this fraction of the largest are rounding of a Fourier transform.
_ZERO = 1e-12


@dataclasses.dataclass(frozen=True)
class Taps:
    """Rays that each pixel of an image collects, in float64.

    Attributes:
        reach: pixels to each side whose rays contribute.
        factor: rays along a side of a pixel.
        table: ``(1 or b, width^2, 1, 1)``, or ``(1 or b, width^2, ny, nx)`` where pixels at the
            edge collect otherwise than those inside: share of a ray in a pixel, by their distance,
            flux over brightness.
    """

    reach: int
    factor: int
    table: Tensor

    @property
    def width(self) -> int:
        """Rays along a side of the square that a pixel collects from."""
        return self.factor * (2 * self.reach + 1)

    @property
    def shared(self) -> bool:
        """If all pixels of all images have the same taps."""
        return self.table.shape[0] == 1 and self.table.shape[-1] == 1

    def take(self, index: Tensor) -> Taps:
        """Return the taps of some images."""
        return dataclasses.replace(self, table=self.table[index])


def read_taps(pixels: Pixels, batch: int) -> Taps:
    """Read the taps off what ``Pixels.collect`` does to single rays.

    Args:
        pixels: of an image, or of a batch with a PSF for each.
        batch: number of images that share no PSF; 1 if all have the same.
    """
    factor = pixels.x.shape[-1] // pixels.shape[1]
    reach = _measure_reach(pixels, batch, factor)
    plain = _read_inner(pixels, batch, reach, factor)
    if plain is not None:
        return Taps(reach, factor, plain)
    return Taps(reach, factor, _read_everywhere(pixels, batch, reach, factor))


def _measure_reach(pixels: Pixels, batch: int, factor: int) -> int:
    """Measure how far away light from a pixel gets: from the middle, and from every corner."""
    ny, nx = pixels.shape
    places = {(y, x) for y in (0, ny - 1) for x in (0, nx - 1)} | {(ny // 2, nx // 2)}
    reach = 0
    for y, x in places:
        lit = torch.zeros(ny, nx, dtype=torch.float64, device=pixels.x.device)
        lit[y, x] = 1.0
        rays = lit.repeat_interleave(factor, -2).repeat_interleave(factor, -1)
        seen = pixels.collect(rays.expand(batch, 1, -1, -1))[:, 0].abs().amax(0)
        rows, columns = torch.nonzero(seen > _ZERO * seen.max(), as_tuple=True)
        reach = max(reach, int((rows - y).abs().max()), int((columns - x).abs().max()))
    return reach


def _read_inner(pixels: Pixels, batch: int, reach: int, factor: int) -> Tensor | None:
    """Read the taps of a pixel in the middle; None if those at the edge differ from them."""
    ny, nx = pixels.shape
    if min(ny, nx) < 2 * reach + 1:
        return None
    width, device = factor * (2 * reach + 1), pixels.x.device
    y, x = ny // 2, nx // 2
    deltas = torch.zeros(factor, factor, factor * ny, factor * nx, dtype=torch.float64)
    for i in range(factor):
        for j in range(factor):
            deltas[i, j, factor * y + i, factor * x + j] = 1.0
    deltas = deltas.flatten(0, 1).to(device).expand(batch, -1, -1, -1)
    seen = pixels.collect(deltas)[..., y - reach : y + reach + 1, x - reach : x + reach + 1]
    # The pixel at distance d sees the ray at distance -d.
    seen = seen.flip(-2, -1).unflatten(1, (factor, factor))
    table = seen.permute(0, 3, 1, 4, 2).reshape(batch, width * width, 1, 1)

    generator = torch.Generator().manual_seed(0)
    probe = torch.rand(1, factor * ny, factor * nx, generator=generator, dtype=torch.float64)
    probe = probe.to(device).expand(batch, 1, -1, -1)
    patches = unfold(probe, reach, factor).unflatten(-1, (ny, nx))
    expected = pixels.collect(probe)[:, 0]
    error = ((patches * table).sum(1) - expected).abs().max()
    return table if float(error) < 1e-10 * float(expected.abs().max()) else None


def _read_everywhere(pixels: Pixels, batch: int, reach: int, factor: int) -> Tensor:
    """Read the taps of every pixel off combs of rays that no pixel sees two of."""
    shape, width = pixels.shape, factor * (2 * reach + 1)
    steps = [min(width, factor * n) for n in shape]
    combs = torch.zeros(*steps, *(factor * n for n in shape), dtype=torch.float64)
    for i in range(steps[0]):
        for j in range(steps[1]):
            combs[i, j, i::width, j::width] = 1.0
    combs = combs.flatten(0, 1).to(pixels.x.device).expand(batch, -1, -1, -1)
    seen = pixels.collect(combs).unflatten(1, steps)
    # The comb whose tooth is at each place of the window of each pixel; none beyond the frame.
    place = torch.arange(width, device=seen.device)[:, None]
    comb, inside = [], []
    for n, step in zip(shape, steps, strict=True):
        ray = place + factor * (torch.arange(n, device=seen.device) - reach)
        comb.append((ray % width).clamp_max(step - 1))
        inside.append((ray >= 0) & (ray < factor * n))
    y, x = (torch.arange(n, device=seen.device) for n in shape)
    table = seen[:, comb[0][:, None, :, None], comb[1][:, None, :], y[:, None], x]
    known = inside[0][:, None, :, None] & inside[1][:, None, :]
    return torch.where(known, table, 0.0).flatten(1, 2)


def unfold(rays: Tensor, reach: int, factor: int) -> Tensor:
    """Gather the rays ``(b, C, Ny, Nx)`` around every pixel: ``(b, C width^2, ny nx)``."""
    width = factor * (2 * reach + 1)
    windows: Tensor = F.unfold(rays, width, padding=reach * factor, stride=factor)
    return windows
