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

#: Elements of the largest array made at once.
_ELEMENTS = {"cpu": 1 << 22}
_ELEMENTS_ELSEWHERE = 1 << 27


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
        read = self._read_shared if self._taps.shared else self._read_each
        found = []
        for terms, expansion in zip(read(slopes, index), self._expansions, strict=True):
            terms = terms * weight[:, None]
            count = expansion.box.shape[1]
            inside = self._sum_inside(terms[:, :count], expansion)
            outside = self._sum_outside(terms[:, count:], expansion)
            found.append((inside + outside).clamp_min(0.0))
        return found

    def _read_shared(self, slopes: Tensor, index: Tensor) -> Iterator[Tensor]:
        """Terms ``(b, N + R, ny, nx)`` of each perturber, where all pixels have the same taps."""
        del index  # all images have the same taps too
        step, (ny, nx) = self._taps.factor, self._pixels.shape
        padded = F.pad(slopes, [self._taps.reach * step] * 4)
        for expansion in self._expansions:
            spectrum = torch.fft.rfft2(padded, s=expansion.size)
            # Few terms at a time, which stay in the cache of a CPU.
            count = (
                max(1, (1 << 18) // (expansion.size[0] * expansion.size[1]))
                if (self._device.type == "cpu")
                else len(expansion.kernels)
            )
            parts = []
            for kernels in expansion.kernels.split(count):
                both = spectrum[:, None, 0] * kernels[:, 0] + spectrum[:, None, 1] * kernels[:, 1]
                rows = torch.fft.ifft(both, dim=-2)[..., : step * ny : step, :]
                maps = torch.fft.irfft(rows, n=expansion.size[1])
                parts.append(maps[..., : step * nx : step])
            yield torch.cat(parts, 1)

    def _read_each(self, slopes: Tensor, index: Tensor) -> Iterator[Tensor]:
        """Compute the same for every pixel with the taps of its own."""
        ny, nx = self._pixels.shape
        taps = self._taps if len(self._taps.table) == 1 else self._taps.take(index)
        share = taps.table / self._envelope.clamp_min(1e-300)[:, None, None]
        padded = F.pad(slopes, [taps.reach * taps.factor] * 4)
        rows_at_once = max(1, self._most // (len(index) * 2 * taps.width**2 * nx))
        found: list[list[Tensor]] = []
        for first in range(0, ny, rows_at_once):
            last = min(first + rows_at_once, ny)
            rays = padded[..., taps.factor * first : taps.factor * (last - 1) + taps.width, :]
            seen = F.unfold(rays, taps.width, stride=taps.factor)
            seen = seen.view(len(index), 2, taps.width**2, last - first, nx)
            own = share[..., first:last, :] if share.shape[-1] > 1 else share
            seen = (seen * own[:, None]).flatten(1, 2).flatten(2)
            found.append([product(expansion.terms, seen) for expansion in self._expansions])
        for parts in zip(*found, strict=True):
            yield torch.cat(parts, 2).unflatten(2, (ny, nx))

    def _sum_inside(self, terms: Tensor, expansion: Expansion) -> Tensor:
        """Sum the squares of the change over the pixels in the box, ``(b, ny, nx)``."""
        ny, nx = terms.shape[-2:]
        near_y, near_x = expansion.near
        squares = product(expansion.box, terms.flatten(2)).square()
        window = 2 * near_y + 1, 2 * near_x + 1
        total = F.fold(squares, (ny, nx), window, padding=(near_y, near_x))
        return total[:, 0]

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
