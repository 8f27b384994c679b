"""Columns of a linear model: the blurred maps of its components over the noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from lensphys.fitting.linear.components import Part
from lensphys.fitting.linear.windows import Window
from lensphys.products import gram, product


@dataclasses.dataclass(frozen=True)
class _Block:
    """Columns ``(b, K, ny nx)``, float64, of the pixels of a window."""

    values: Tensor
    window: Window

    def cut(self, maps: Tensor) -> Tensor:
        """Cut the window out of maps ``(..., ny, nx)``: ``(..., pixels)``."""
        return self.window.cut(maps).flatten(-2)

    def place(self, rows: Tensor) -> Tensor:
        """Place rows ``(..., pixels)`` of the window in images."""
        rows_of, columns_of = self.window.rows, self.window.columns
        size = rows_of.stop - rows_of.start, columns_of.stop - columns_of.start
        return self.window.place(rows.unflatten(-1, size))

    def project(self, rows: Tensor) -> Tensor:
        """Products ``(b, m, K)`` of images ``(b, m, ny, nx)`` with the columns."""
        # In this order they take half the time for few images.
        return product(self.cut(rows), self.values.mT)

    def multiply(self, other: _Block) -> Tensor:
        """Products ``(b, K, L)`` with another, of the same window or one of them whole."""
        one, two = self.values, other.values
        if other is self:
            return gram(one)
        if self.window != other.window and self.window.is_whole:
            one = other.cut(self.place(one))
        elif self.window != other.window:
            two = self.cut(other.place(two))
        return product(one, two.mT)


@dataclasses.dataclass(frozen=True)
class Columns:
    """Model of ``b`` images that is linear in its ``K`` amplitudes.

    Attributes:
        parts: maps of the components, whose columns come first; then those of light that is kept.
        data: images over the noise, ``(b, ny, nx)``, float64.
        normal: products ``(b, K, K)`` of all columns with each other, float64.
        projection: those with the data, ``(b, K)``.
    """

    parts: Sequence[Part]
    data: Tensor
    normal: Tensor
    projection: Tensor
    _scale: Tensor
    _blocks: Sequence[_Block]

    @classmethod
    def collect(
        cls,
        parts: Sequence[Part],
        images: Tensor,
        weight: Tensor,
        area: float,
        kept: Tensor | None = None,
    ) -> Columns:
        """Blur maps, and divide them by the noise.

        Args:
            parts: maps of the components, the first of which alone has a window of its own.
            images, weight: ``(b, ny, nx)``; ``weight`` is ``1 / sigma``, 0 where a pixel is masked.
            area: of a pixel, arcsec^2.
            kept: further maps ``(b, K, ny, nx)`` that are blurred already.
        """
        blurred = [(p.pixels.blur(p.join(len(images))), p.window) for p in parts]
        if kept is not None:
            blurred.append((kept, Window.whole((images.shape[-2], images.shape[-1]))))
        # Flux per pixel over the noise, of brightness: cheaper than to scale every map.
        scale = weight * area
        blocks = [
            _Block((maps * window.cut(scale)[:, None]).flatten(2).double(), window)
            for maps, window in _join_equal(blurred)
        ]
        data = (images * weight).double()
        projection = torch.cat([b.project(data[:, None])[:, 0] for b in blocks], 1)
        return cls(parts, data, _multiply_all(blocks), projection, scale, blocks)

    def combine(self, amplitudes: Tensor) -> Tensor:
        """Model over the noise, ``(b, ny, nx)``, of amplitudes ``(b, K)``."""
        shares = amplitudes.split([block.values.shape[1] for block in self._blocks], 1)
        total = torch.zeros_like(self.data)
        for block, own in zip(self._blocks, shares, strict=True):
            total = total + block.place(product(own[:, None], block.values)[:, 0])
        return total

    def project(self, rows: Tensor) -> Tensor:
        """Products ``(b, m, K)`` of images ``(b, m, ny, nx)`` with all columns, float64."""
        return torch.cat([block.project(rows) for block in self._blocks], 2)

    def list_all(self) -> Tensor:
        """All columns, ``(b, K, ny, nx)``, float64."""
        return torch.cat([block.place(block.values) for block in self._blocks], 1)

    def contract(self, amplitudes: Tensor) -> list[dict[str, Tensor]]:
        """Derivatives of the light at the rays of each part by its parameters, by name."""
        shares = self._split(amplitudes)
        return [
            part.follow(part.contract(own)) for part, own in zip(self.parts, shares, strict=True)
        ]

    def differentiate(self, amplitudes: Tensor, names: Sequence[str]) -> Tensor:
        """Derivatives ``(b, P, ny, nx)`` of the model over the noise by parameters, float64.

        Args:
            amplitudes: ``(b, K)``, which stay.
            names: of the parameters, all of which belong to one part or another.
        """
        rows: dict[str, Tensor] = {}
        for part, found in zip(self.parts, self.contract(amplitudes), strict=True):
            own = [name for name in names if name in found]
            if not own:
                continue
            blurred = part.pixels.blur(torch.stack([found[name] for name in own], 1))
            placed = part.window.place(blurred * part.window.cut(self._scale)[:, None]).double()
            rows |= zip(own, placed.unbind(1), strict=True)
        if not names:
            return self.data.new_zeros(len(self.data), 0, *self.data.shape[1:])
        return torch.stack([rows[name] for name in names], 1)

    def weigh(self, dual: Tensor) -> dict[str, Tensor]:
        """Sum the derivatives of all columns, times maps ``(b, K, ny, nx)``: ``(b,)`` by name.

        The maps are brought back to the rays first, so that one sum serves all parameters.
        """
        sums: dict[str, Tensor] = {}
        for part, own in zip(self.parts, self._split(dual), strict=True):
            seen = part.window.cut(own.to(self._scale.dtype) * self._scale[:, None])
            found = part.follow(part.weigh(part.pixels.spread(seen)))
            sums |= {name: value.sum((-2, -1)) for name, value in found.items()}
        return sums

    def find_slopes(self, amplitudes: Tensor) -> Tensor:
        """Gradient of the source brightness at every ray of the images, ``(b, 2, Ny, Nx)``."""
        part, own = self.parts[0], self._split(amplitudes)[0]
        along, _ = part.contract(own)
        assert along is not None
        rays = part.window.refine(part.pixels.x.shape[-1] // part.pixels.shape[1])
        return rays.place(torch.stack(along, 1))

    def _split(self, values: Tensor) -> list[Tensor]:
        """Values of each part; those of light that is kept are left out."""
        counts = [part.count for part in self.parts]
        return list(values[:, : sum(counts)].split(counts, 1))


def _join_equal(blurred: Sequence[tuple[Tensor, Window]]) -> list[tuple[Tensor, Window]]:
    """Join maps of one window to one: a single large product is faster than several."""
    if len(blurred) == 1 or len({window.is_whole for _, window in blurred}) > 1:
        return list(blurred)
    return [(torch.cat([maps for maps, _ in blurred], 1), blurred[0][1])]


def _multiply_all(blocks: Sequence[_Block]) -> Tensor:
    """Products of the columns of all blocks with each other, ``(b, K, K)``."""
    rows: list[list[Tensor]] = []
    for i, block in enumerate(blocks):
        row = [rows[j][i].mT for j in range(i)]
        row += [block.multiply(other) for other in blocks[i:]]
        rows.append(row)
    return torch.cat([torch.cat(row, 2) for row in rows], 1)
