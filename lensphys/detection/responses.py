"""Change of an image by a unit mass in every place: its norm, and its products with other maps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lensphys.detection.correlation import Correlator
from lensphys.detection.expansion import Expansion, expand
from lensphys.detection.perturbers import Perturber
from lensphys.detection.taps import read_taps
from lensphys.products import product
from lensphys.rendering import Pixels

#: Elements of the largest array made at once, and of those that stay in the cache of a CPU.
_ELEMENTS, _BLOCK = {"cpu": 1 << 20}, {"cpu": 1 << 18}
_ELEMENTS_ELSEWHERE, _BLOCK_ELSEWHERE = 1 << 26, 1 << 26


class Responses:
    """Perturbers in front of pixels, of which everything that does not depend on an image is kept.

    The change of image b by a unit mass in the middle of pixel k is ``a_k = W B (g . alpha_k)``:
    with the deflection ``alpha_k``, the slope g of the source (minus its gradient), the blur B
    and the weight W. Results are float64.

    Args:
        pixels: of all images, with one PSF or a batch of them.
        perturbers: that are searched for.
        batch: number of images.
    """

    def __init__(self, pixels: Pixels, perturbers: Sequence[Perturber], batch: int) -> None:
        self._pixels = pixels
        self._device = pixels.x.device
        one = torch.zeros(1, dtype=torch.long, device=self._device)
        self._taps = read_taps(pixels, 1 if pixels.take(one) is pixels else batch)
        self._correlator = Correlator(pixels.shape)
        envelope = tuple(self._taps.table.abs().amax((0, -2, -1)).tolist())
        taps, at = self._taps, (pixels.shape, pixels.pixel_scale, self._device)
        self._expansions = expand(tuple(perturbers), envelope, taps.reach, taps.factor, *at)
        self._envelope = torch.tensor(envelope, dtype=torch.float64, device=self._device)
        self._block = _BLOCK.get(self._device.type, _BLOCK_ELSEWHERE)
        self._most = _ELEMENTS.get(self._device.type, _ELEMENTS_ELSEWHERE)

    def images_at_once(self, rows: int) -> int:
        """Number of images to work on at once, of so many rows each."""
        ny, nx = self._pixels.shape
        return max(1, self._most // (16 * ny * nx * max(rows, 16)))

    def products(self, rows: Tensor, slopes: Tensor, weight: Tensor, index: Tensor) -> list[Tensor]:
        """Products ``row . a_k`` with every place, ``(b, rows, ny, nx)``, of each perturber.

        Args:
            rows: ``(b, rows, ny, nx)``.
            slopes: g, ``(b, 2, Ny, Nx)``.
            weight: ``(b, ny, nx)``.
            index: of the images, ``(b,)``.
        """
        pixels, factor = self._pixels.take(index), self._taps.factor
        ny, nx = pixels.shape
        kernels = [expansion.deflection for expansion in self._expansions]
        step = max(1, self._most // (len(index) * 2 * factor**2 * ny * nx))
        found: list[list[Tensor]] = []
        for part in rows.split(step, 1):
            pulled = _collect_transposed(pixels, part * weight[:, None])
            pull = pulled[:, :, None] * slopes[:, None]
            # Component, sub-row and sub-column of each ray, then rows and columns of pixels.
            pull = pull.unflatten(-1, (nx, factor)).unflatten(-3, (ny, factor))
            pull = pull.permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4)
            found.append(self._correlator.correlate(pull, kernels))
        return [torch.cat(parts, 1) for parts in zip(*found, strict=True)]

    def norms(self, slopes: Tensor, weight: Tensor, index: Tensor) -> list[Tensor]:
        """``|a_k|^2`` in every place, ``(b, ny, nx)``, of each perturber; see :meth:`products`."""
        ny, nx = self._pixels.shape
        rays = F.pad(slopes, [self._taps.reach * self._taps.factor] * 4)
        seen = None if self._taps.shared else self._gather(rays, index)
        found = []
        for expansion in self._expansions:
            near_y, near_x = expansion.near
            window = 2 * near_x + 1
            boxed = (2 * near_y + 1) * window
            total = slopes.new_zeros(len(index), ny + 2 * near_y, nx + 2 * near_x)
            outside, first = [], 0
            for maps in self._read_terms(expansion, rays, seen):
                maps = maps * weight[:, None]
                inner, outer = maps[:, : max(0, boxed - first)], maps[:, max(0, boxed - first) :]
                # Pixel p is at the n-th distance from place p + (y, x), within the margin.
                for n, square in enumerate(inner.square().unbind(1), first):
                    y, x = divmod(n, window)
                    total[:, y : y + ny, x : x + nx] += square
                outside.append(outer)
                first += maps.shape[1]
            inside = total[:, near_y : near_y + ny, near_x : near_x + nx]
            far = self._sum_outside(torch.cat(outside, 1), expansion)
            found.append((inside + far).clamp_min(0.0))
        return found

    def _gather(self, rays: Tensor, index: Tensor) -> Tensor:
        """Rays that each pixel collects, times its taps over their envelope: ``(b, 2 w^2, ny nx)``.

        For taps that are not those of all pixels of all images.
        """
        taps = self._taps if len(self._taps.table) == 1 else self._taps.take(index)
        share = taps.table / self._envelope.clamp_min(1e-300)[:, None, None]
        seen = F.unfold(rays, taps.width, stride=taps.factor)
        seen = seen.view(len(rays), 2, taps.width**2, *self._pixels.shape)
        return (seen * share[:, None]).flatten(1, 2).flatten(2)

    def _read_terms(
        self, expansion: Expansion, rays: Tensor, seen: Tensor | None
    ) -> Iterator[Tensor]:
        """Terms of the change before it is weighted, ``(b, n, ny, nx)``, a few at a time."""
        step, (ny, nx) = self._taps.factor, self._pixels.shape
        size = expansion.size
        count = max(1, self._block // (len(rays) * size[0] * size[1]))
        if seen is not None:
            for terms in expansion.terms.split(count):
                yield product(terms, seen).unflatten(2, (ny, nx))
            return
        spectrum = torch.fft.rfft2(rays, s=size)[:, None]
        for kernels in expansion.kernels.split(count):
            both = spectrum[:, :, 0] * kernels[:, 0] + spectrum[:, :, 1] * kernels[:, 1]
            rows = torch.fft.ifft(both, dim=-2)[..., : step * ny : step, :]
            yield torch.fft.irfft(rows, n=size[1])[..., : step * nx : step]

    def _sum_outside(self, terms: Tensor, expansion: Expansion) -> Tensor:
        """Sum the squares of the change over the pixels outside of the box, ``(b, ny, nx)``."""
        first, second = expansion.pairs
        if not len(first):
            return terms.new_zeros(len(terms), *terms.shape[-2:])
        squares = terms[:, first] * terms[:, second]
        return self._correlator.correlate(squares, [expansion.squares])[0]


def _collect_transposed(pixels: Pixels, images: Tensor) -> Tensor:
    """Apply the transpose of :meth:`lensphys.rendering.Pixels.collect` to images."""
    with torch.inference_mode(False), torch.enable_grad():
        shape = *images.shape[:-2], *pixels.x.shape[-2:]
        rays = torch.zeros(shape, dtype=images.dtype, device=images.device, requires_grad=True)
        (pulled,) = torch.autograd.grad(pixels.collect(rays), rays, images.clone())
    return pulled
