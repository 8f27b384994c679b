"""Source given by the pixels of an image."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from lensphys.arrays import is_traced, take_map
from lensphys.lengths import LEAST, MOST
from lensphys.light.base import LightProfile, clamp_far
from lensphys.parameters import Parameter, is_concrete, parameter, shared_shape

Interpolation = Literal["linear", "cubic"]

#: Pixels beyond the outermost pixel centres from which on there is no light.
_REACH = 2


def linear_weights(t: Tensor) -> tuple[Tensor, ...]:
    """Weights of the two pixels about a fraction ``t`` of the way between them."""
    return 1 - t, t


def cubic_weights(t: Tensor) -> tuple[Tensor, ...]:
    """Weights of the four nearest pixels, ``t`` between the second and the third (Catmull-Rom).

    Keys 1981 (IEEE Trans. ASSP 29, 1153), eq. 4 with ``a = -1/2``, the value that is exact for
    quadratic images.
    """
    s = 1 - t
    return (
        -0.5 * t * s * s,
        1 + t * t * (1.5 * t - 2.5),
        1 + s * s * (1.5 * s - 2.5),
        -0.5 * s * t * t,
    )


def interpolate(image: Tensor, u: Tensor, v: Tensor, interpolation: Interpolation) -> Tensor:
    """Interpolate an image between its pixels; zero around it.

    Args:
        image: of shape ``(B, ny, nx)`` or ``(ny, nx)``.
        u, v: column and row, where 0 is the centre of the first pixel; of one shape,
            ``(B, h, w)`` or ``(h, w)``.
        interpolation: ``"linear"`` (continuous) or ``"cubic"`` (continuous slope as well).

    Returns:
        Values of shape ``(B, h, w)``, or ``(h, w)`` where nothing is batched; differentiable in
        the image and in the position.
    """
    ny, nx = image.shape[-2:]
    weights, first = (linear_weights, 0) if interpolation == "linear" else (cubic_weights, -1)
    # Far outside both value and slope are zero, on either side of the clamp.
    u, v = u.clamp(-_REACH, nx - 1 + _REACH), v.clamp(-_REACH, ny - 1 + _REACH)
    column, row = torch.floor(u), torch.floor(v)
    framed = pad(image, (1, 1, 1, 1)).flatten(-2)
    total = torch.zeros_like(u)
    # Only the choice of the pixels is discrete; the position enters through the weights.
    for j, weight_y in enumerate(weights(v - row), first):
        for i, weight_x in enumerate(weights(u - column), first):
            at_y, at_x = ((at + 1).long() for at in (row + j, column + i))
            index = at_y.clamp(0, ny + 1) * (nx + 2) + at_x.clamp(0, nx + 1)
            total = total + weight_y * weight_x * _pixels(framed, index)
    return total


def _pixels(flat: Tensor, index: Tensor) -> Tensor:
    """The pixels ``(..., h, w)`` of images ``(..., n)``; either may lack the batch."""
    if flat.ndim == 1:
        return flat.gather(0, index.flatten()).view(index.shape)
    along = index.reshape(-1 if index.ndim > 2 else 1, index.shape[-2] * index.shape[-1])
    values = torch.take_along_dim(flat, along, dim=-1)
    return values.view(len(values), *index.shape[-2:])


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class PixelatedSource(LightProfile):
    """Surface brightness interpolated from an image, such as a picture of a nearby galaxy.

    Pixel ``(j, i)`` of the image sits at ``x = center_x + (i - (nx - 1) / 2) pixel_scale`` and
    ``y = center_y + (j - (ny - 1) / 2) pixel_scale``, turned by ``phi_G``. Around the image there
    is no light: it fades to zero within one pixel of the outermost pixel centres (``"linear"``;
    two for ``"cubic"``). The total flux is ``amp * image.sum() * pixel_scale**2``.

    With ``"linear"`` this is lenstronomy's ``INTERPOL`` (whose ``scale`` is ``pixel_scale`` here).

    Args:
        image: surface brightness, flux per arcsec^2 and *not* flux per pixel (divide that by
            ``pixel_scale**2``), at the pixel centres; of shape ``(B, ny, nx)`` or ``(ny, nx)``, a
            tensor or an array.
        pixel_scale: width of a pixel of the image on the sky, arcsec.
        amp: factor on the image.
        center_x, center_y: centre of the image, arcsec.
        phi_G: angle by which the image is turned, from x towards y, radians.
        interpolation: ``"cubic"``, with a continuous slope, which gradient-based inference needs;
            it passes through the pixels and may swing below zero between them. ``"linear"`` never
            does, but its gradient jumps from pixel to pixel.

    Raises:
        ValueError: also for an image of other dimensions, without pixels or with pixels that are
            not finite, or an unknown interpolation.
    """

    image: Tensor | NDArray[np.floating]
    pixel_scale: Parameter = parameter(unit="arcsec", low=LEAST, high=MOST)
    amp: Parameter = parameter(1.0, low=0.0)
    center_x: Parameter = parameter(0.0, unit="arcsec")
    center_y: Parameter = parameter(0.0, unit="arcsec")
    phi_G: Parameter = parameter(0.0, unit="rad")
    interpolation: Interpolation = "cubic"

    def __post_init__(self) -> None:
        super().__post_init__()
        image = take_map("image", self.image)
        if image.ndim not in (2, 3) or image.numel() == 0:
            raise ValueError(f"image must be (B, ny, nx) or (ny, nx), got {tuple(image.shape)}")
        if not (is_traced(image) or torch.isfinite(image).all()):
            raise ValueError("image must be finite in every pixel")
        if self.interpolation not in ("linear", "cubic"):
            raise ValueError(f"interpolation must be linear or cubic, got {self.interpolation}")
        others = (value for name, value in vars(self).items() if name != "image")
        shapes = {tuple(value.shape) for value in others if isinstance(value, Tensor)}
        try:
            shared_shape([image.shape[:-2], *shapes])
        except RuntimeError:
            raise ValueError(
                f"image and parameters must share one batch shape, got image "
                f"{tuple(image.shape)} beside parameters {', '.join(map(str, shapes))}"
            ) from None
        object.__setattr__(self, "image", image)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return shared_shape([super().batch_shape, tuple(self.image.shape[:-2])])

    def surface_brightness(self, x: Tensor, y: Tensor) -> Tensor:
        p = self.align(x)
        x, y = clamp_far(x - p["center_x"]), clamp_far(y - p["center_y"])
        cos, sin = torch.cos(p["phi_G"]), torch.sin(p["phi_G"])
        image = torch.as_tensor(self.image).to(x.device, x.dtype)
        ny, nx = image.shape[-2:]
        u = (cos * x + sin * y) / p["pixel_scale"] + (nx - 1) / 2
        v = (cos * y - sin * x) / p["pixel_scale"] + (ny - 1) / 2
        u, v = torch.broadcast_tensors(u, v)
        return p["amp"] * interpolate(image, u, v, self.interpolation)

    def points_along(self, width: float) -> int:
        if not is_concrete(self.pixel_scale):
            return 4
        finest = float(torch.as_tensor(self.pixel_scale).min())
        return min(1 + math.ceil(2 * width / finest), 24)
