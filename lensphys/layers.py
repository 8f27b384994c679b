"""Ray tracing, lensing and de-lensing of pixel images, and rendering, as layers of a network.

A layer holds the grid, in buffers that follow ``.to(device, dtype)`` and stay out of the state
dictionary; the lens comes with each call, so that gradients reach every parameter of it. In a
network of half precision, or under autocast, layers compute and answer in single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from lensphys.arrays import PRECISIONS, in_precision, is_traced
from lensphys.grid import pixel_grid
from lensphys.lens import Lens
from lensphys.psf import PSF
from lensphys.rendering import Light, Pixels, render_on

Shape = int | tuple[int, int]

#: Weight (image pixels) below which a mean fades to zero: the mean of next to no weight is as large
#: as any other, but its gradient grows without bound.
_FAINT = 1e-3


class _OnGrid(nn.Module):
    """A layer on the pixels of the image plane."""

    x: Tensor
    y: Tensor

    def __init__(
        self, *, pixel_scale: float, shape: Shape, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        x, y = pixel_grid(shape, pixel_scale, dtype=dtype)
        self._pixel_scale = float(pixel_scale)
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("y", y, persistent=False)

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel, arcsec."""
        return self._pixel_scale

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the image, ``(ny, nx)``."""
        return self.x.shape[0], self.x.shape[1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        grid = self.x, self.y
        super()._apply(fn, recurse)
        if self.x.dtype not in PRECISIONS:
            # Half precision would move the pixels.
            device = self.x.device
            self.x, self.y = (v.to(device, torch.float32) for v in grid)
        return self

    def extra_repr(self) -> str:
        return f"pixel_scale={self.pixel_scale:g}, shape={self.shape}"


class RayTrace(_OnGrid):
    """Source-plane positions of the pixels of an image.

    Args:
        pixel_scale: width of a pixel, arcsec.
        shape: number of pixels on a side, or ``(ny, nx)``.
        dtype: of the grid; torch's by default.
    """

    def forward(self, lens: Lens) -> tuple[Tensor, Tensor]:
        """``beta_x`` and ``beta_y``, arcsec, of shape ``(B, ny, nx)`` or ``(ny, nx)``."""
        return lens.ray_trace(self.x, self.y)


class Render(_OnGrid):
    """Noise-free image of a lensed source; see :func:`lensphys.render`.

    Args:
        pixel_scale: width of a pixel, arcsec.
        shape: number of pixels on a side, or ``(ny, nx)``.
        psf, supersampling: see :func:`lensphys.render`.
        dtype: of the grid; torch's by default.

    Raises:
        ValueError: for a PSF that is sampled for another pixel scale.
    """

    def __init__(
        self,
        *,
        pixel_scale: float,
        shape: Shape,
        psf: PSF | None = None,
        supersampling: int = 1,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(pixel_scale=pixel_scale, shape=shape, dtype=dtype)
        self.psf, self.supersampling = psf, supersampling
        self._prepare()

    def _prepare(self) -> None:
        self._pixels = Pixels(
            self.x,
            self.y,
            psf=self.psf,
            supersampling=self.supersampling,
        )
        self._made_of = self._inputs()

    def _inputs(self) -> tuple[Any, ...]:
        """List what the pixels are made of: settings, and the state of the grid."""
        device = self.x.device, self.x.dtype
        if is_traced(self.x):
            return self.psf, self.supersampling, device
        # Also a change in place, and of the data behind a tensor.
        grid = [(v.data_ptr(), 0 if v.is_inference() else v._version) for v in (self.x, self.y)]
        return self.psf, self.supersampling, device, *grid

    def forward(self, lens: Lens, source: Light, lens_light: Light | None = None) -> Tensor:
        """Flux per pixel, of shape ``(B, ny, nx)`` or ``(ny, nx)``."""
        # The grid is checked when it changes, not on every call, so that a compiled graph has no
        # gaps.
        inputs = self._inputs()
        if inputs != self._made_of[: len(inputs)]:
            self._prepare()
        return render_on(self._pixels, lens, source, lens_light)


class _BetweenPlanes(_OnGrid):
    """A layer between the pixels of the image plane and those of the source plane."""

    def __init__(
        self,
        *,
        pixel_scale: float,
        shape: Shape,
        source_pixel_scale: float,
        source_shape: Shape,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(pixel_scale=pixel_scale, shape=shape, dtype=dtype)
        source_x, _ = pixel_grid(source_shape, source_pixel_scale)
        self.source_pixel_scale = source_pixel_scale
        self.source_shape = (int(source_x.shape[0]), int(source_x.shape[1]))

    def extra_repr(self) -> str:
        source = f"source_pixel_scale={self.source_pixel_scale:g}, source_shape={self.source_shape}"
        return f"{super().extra_repr()}, {source}"

    def _corners(
        self, name: str, image: Tensor, shape: tuple[int, int], lens: Lens
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The image as ``(B, C, ny, nx)``; indices and weights of the pixels around each ray."""
        if image.ndim not in (2, 3, 4) or tuple(image.shape[-2:]) != shape:
            raise ValueError(
                f"{name} must be of shape (ny, nx), (B, ny, nx) or (B, C, ny, nx) with pixels "
                f"{shape}, got {tuple(image.shape)}"
            )
        beta_x, beta_y = lens.ray_trace(self.x, self.y)
        images, lenses = image.shape[0] if image.ndim > 2 else 1, beta_x.shape[:-2].numel()
        if beta_x.ndim > 3 or (images != lenses and 1 not in (images, lenses)):
            raise ValueError(
                f"{name} and lens must share one batch, got {name} {tuple(image.shape)} and rays "
                f"of {tuple(beta_x.shape)}"
            )
        index, weight = _around(beta_x, beta_y, self.source_pixel_scale, self.source_shape)
        batch = max(images, lenses)
        index, weight = (
            v.reshape(4, lenses, 1, -1).expand(4, batch, 1, -1) for v in (index, weight)
        )
        image = image[None, None] if image.ndim == 2 else image
        image = image[:, None] if image.ndim == 3 else image
        return image.expand(batch, -1, -1, -1), index, weight.to(image.dtype)

    def _reshape(self, result: Tensor, ndim: int) -> Tensor:
        """``(B, C, ny, nx)`` with as many axes as what was given, and the batch of the lenses."""
        if ndim == 4:
            return result
        return result[0, 0] if ndim == 2 and result.shape[0] == 1 else result[:, 0]


class ReLens(_BetweenPlanes):
    """Image of a source on pixels behind a lens, differentiable in source and lens.

    Surface brightness is conserved: each image pixel takes that of the source where its ray meets
    it, interpolated bilinearly between the centres of source pixels and falling to zero within one
    pixel outside of them.

    Args:
        pixel_scale, shape: of the image: width of a pixel, arcsec; pixels on a side or
            ``(ny, nx)``.
        source_pixel_scale, source_shape: likewise of the source, centred on the optical axis.
        dtype: of the grid; torch's by default.
    """

    def forward(self, source: Tensor, lens: Lens) -> Tensor:
        """Map a source to the image plane.

        Args:
            source: surface brightness, of shape ``(ny, nx)``, ``(B, ny, nx)`` or
                ``(B, C, ny, nx)``.
            lens: one lens, or ``B`` of them.

        Returns:
            Surface brightness, with the axes of the source and the batch of source and lens.

        Raises:
            ValueError: for a source of other pixels, of whole numbers, or of another batch than
                the lens.
        """
        source = in_precision("source", source)
        flat, index, weight = self._corners("source", source, self.source_shape, lens)
        flat = flat.flatten(-2)
        image = sum(
            w * flat.gather(-1, i.expand(-1, flat.shape[1], -1))
            for i, w in zip(index, weight, strict=True)
        )
        return self._reshape(torch.as_tensor(image).unflatten(-1, self.shape), source.ndim)


class DeLens(_BetweenPlanes):
    """Source that an image shows through a lens, differentiable in image and lens.

    Each source pixel is the mean of the image pixels whose rays meet the source plane within a
    pixel of it, weighted bilinearly by the distance; several images of one source are averaged.
    The transpose of :class:`ReLens`, divided by its weights.

    Args:
        pixel_scale, shape: of the image: width of a pixel, arcsec; pixels on a side or
            ``(ny, nx)``.
        source_pixel_scale, source_shape: likewise of the source, centred on the optical axis.
        dtype: of the grid; torch's by default.
    """

    def forward(self, image: Tensor, lens: Lens) -> tuple[Tensor, Tensor]:
        """Map an image back to the source plane.

        Args:
            image: surface brightness, of shape ``(ny, nx)``, ``(B, ny, nx)`` or ``(B, C, ny, nx)``.
            lens: one lens, or ``B`` of them.

        Returns:
            Surface brightness in the source plane, with the axes of the image and the batch of
            image and lens; and the coverage, of shape ``(B, ny, nx)`` or ``(ny, nx)``: the weight
            in image pixels, 0 where no ray arrives. There the source is 0; below a weight of 1e-3
            it fades to that.

        Raises:
            ValueError: for an image of other pixels, of whole numbers, or of another batch than
                the lens.
        """
        image = in_precision("image", image)
        flat, index, weight = self._corners("image", image, self.shape, lens)
        flat = flat.flatten(-2)
        size = self.source_shape[0] * self.source_shape[1]
        total = flat.new_zeros(*flat.shape[:2], size)
        coverage = flat.new_zeros(flat.shape[0], 1, size)
        for i, w in zip(index, weight, strict=True):
            total = total.scatter_add(-1, i.expand(-1, flat.shape[1], -1), w * flat)
            coverage = coverage.scatter_add(-1, i, w)
        source = (total / coverage.clamp_min(_FAINT)).unflatten(-1, self.source_shape)
        coverage = coverage[:, 0].unflatten(-1, self.source_shape)
        alone = image.ndim == 2 and coverage.shape[0] == 1
        return self._reshape(source, image.ndim), coverage[0] if alone else coverage


def _around(
    x: Tensor, y: Tensor, pixel_scale: float, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Flat indices of the four pixels around each point, and their bilinear weights.

    Both of shape ``(4, *x.shape)``. Pixels outside the grid have weight 0 and some valid index.
    """
    ny, nx = shape
    column, row = x / pixel_scale + (nx - 1) / 2, y / pixel_scale + (ny - 1) / 2
    # Bounded before the cast, which is undefined for what no integer holds.
    left, low = column.detach().floor().clamp(-2, nx), row.detach().floor().clamp(-2, ny)
    indices, weights = [], []
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at_x, at_y = left + i, low + j
        w_x = column - left if i else 1 - (column - left)
        w_y = row - low if j else 1 - (row - low)
        inside = (at_x >= 0) & (at_x <= nx - 1) & (at_y >= 0) & (at_y <= ny - 1)
        index = at_y.clamp(0, ny - 1) * nx + at_x.clamp(0, nx - 1)
        indices.append(index.long())
        weights.append(torch.where(inside, w_x * w_y, 0.0))
    return torch.stack(indices), torch.stack(weights)
