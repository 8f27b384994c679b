"""Light of a lens without the arcs around it: what a cold start takes off first."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.components import Sky
from lensphys.fitting.linear.gaussians import GaussianLight
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.optimiser import begin, descend
from lensphys.fitting.priors import Priors
from lensphys.psf.convolution import fft_convolve
from lensphys.rendering import Pixels

#: Rounds of steps and, between them, of clipping; the first ones clip nothing.
_ROUNDS, _UNCLIPPED, _STEPS = 6, 1, 3
#: Part of the model that counts as noise: Gaussians of two ellipses describe a galaxy this well.
_MODEL_ERROR = 0.04
#: Smoothed residual, in sigma, above which light is taken for an arc, outside so many pixels.
_CLIP, _CORE = 4.0, 3.0
#: Standard deviation of the ellipticities, and of the centre in half fields.
_ELLIPTICITY, _CENTRE = 0.3, 0.06
#: Width of a window about the centre, in half fields, and radius of a hole in it, in pixels.
_WINDOW, _HOLE = 0.25, 1.5
_MOST_ROUND = 0.9
#: Standard deviation, in pixels, of what counts as smooth.
_BROAD = 6.0
#: Distance from the middle of an image, in its widths, within which its lens is.
_NEAR = 0.15


@dataclasses.dataclass(frozen=True)
class LightStart:
    """Light of the lenses of ``B`` images.

    Attributes:
        params: centre and ellipticities by name, ``(B,)`` each.
        model: image of the light, ``(B, ny, nx)``.
        weight: one over the noise of the images and of the model, ``(B, ny, nx)``.
    """

    params: dict[str, Tensor]
    model: Tensor
    weight: Tensor


def subtract_light(
    images: Tensor,
    weight: Tensor,
    pixels: Pixels,
    sky: Sky | None = None,
    *,
    rounds: int = _ROUNDS,
) -> LightStart:
    """Fit the light of the lens alone, clipping what stands above it, such as arcs.

    Args:
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``.
        pixels: of the images, with one ray each.
        sky: background, if any.
        rounds: of steps, between which arcs are clipped.
    """
    scene = LinearScene(None, [], [GaussianLight(pixels)], sky=sky)
    batch = len(images)
    half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
    bounds = Bounds(scene.ranges, half_field, images.new_ones(batch), {})
    centre = find_peak(images * (weight > 0), pixels)
    mean = images.new_zeros(batch, len(scene.names))
    sd = torch.full_like(mean, _ELLIPTICITY)
    values = mean.clone()
    for name, value in zip(("lens_light_center_x", "lens_light_center_y"), centre, strict=True):
        k = scene.names.index(name)
        mean[:, k] = values[:, k] = value
        sd[:, k] = _CENTRE * half_field
    shape = measure_shape(images * (weight > 0), centre, pixels)
    for part in ("lens_light", "lens_light_outer"):
        for name, value in zip(("e1", "e2"), shape, strict=True):
            values[:, scene.names.index(f"{part}_{name}")] = value
    index = torch.arange(batch, device=images.device)
    z = bounds.inverse(values, index)
    priors = Priors(scene.names, mean, sd)
    radius = torch.hypot(pixels.x, pixels.y)
    outside = radius > _CORE * pixels.pixel_scale
    used = soft = weight
    for step in range(rounds):
        problem = LinearProblem(scene, pixels, bounds, images, used, priors=priors)
        state = begin(problem, z, index)
        descend(problem, state, _STEPS, 0.1)
        z = state.z
        model, _ = problem.model(z, index, images, used)
        soft = soften(weight, _MODEL_ERROR * model)
        used = soft
        if step >= _UNCLIPPED:
            # Means of nine pixels have a third of the noise.
            above = 3 * box(sharpen(images - model, weight > 0) * soft) > _CLIP
            arcs = box((above & outside).to(images)) > 0
            used = torch.where(arcs, 0.0, soft)
    params, _ = bounds.forward(z, index)
    return LightStart(scene.named(params), model, soft)


def find_peak(images: Tensor, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Position, arcsec, of the brightest pixel of each smoothed image near its middle."""
    x, y = pixels.x, pixels.y
    middle = 0.5 * (x.amax() + x.amin()), 0.5 * (y.amax() + y.amin())
    near = torch.hypot(x - middle[0], y - middle[1]) < _NEAR * pixels.pixel_scale * min(
        pixels.shape
    )
    brightest = torch.where(near, box(images), -math.inf).flatten(1).argmax(1)
    return x.flatten()[brightest], y.flatten()[brightest]


def measure_shape(
    images: Tensor, centre: tuple[Tensor, Tensor], pixels: Pixels
) -> tuple[Tensor, Tensor]:
    """Ellipticity ``(e1, e2)`` of the light near a centre, from its second moments."""
    dx, dy = (v - at[:, None, None] for v, at in zip(pixels.centers, centre, strict=True))
    size = 0.5 * pixels.pixel_scale * min(pixels.shape)
    r2 = dx * dx + dy * dy
    light = images.clamp_min(0) * torch.exp(-0.5 * r2 / (_WINDOW * size) ** 2)
    light = torch.where(r2 > (_HOLE * pixels.pixel_scale) ** 2, light, 0.0)
    xx, yy, xy = ((light * q).sum((-2, -1)) for q in (dx * dx, dy * dy, dx * dy))
    total = (xx + yy).clamp_min(1e-30)
    along, across = (xx - yy) / total, 2 * xy / total
    # For chi = (1 - q^2) / (1 + q^2), which the round window makes smaller.
    modulus = torch.hypot(along, across)
    factor = (_MOST_ROUND / modulus.clamp_min(1e-9)).clamp_max(1.0)
    return 0.5 * factor * along, 0.5 * factor * across


def sharpen(maps: Tensor, seen: Tensor) -> Tensor:
    """Take off what is smooth over many pixels: light of a lens that its model lacks.

    Args:
        maps: ``(B, ny, nx)``.
        seen: mask of the pixels that are not masked; the others become 0.
    """
    reach = math.ceil(3 * _BROAD)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(maps) / _BROAD) ** 2)
    kernel = line[:, None] * line / line.sum() ** 2
    share = seen.to(maps)
    smooth = fft_convolve(maps * share, kernel) / fft_convolve(share, kernel).clamp_min(1e-3)
    return (maps - smooth) * share


def soften(weight: Tensor, *errors: Tensor) -> Tensor:
    """One over the noise and further errors, added in quadrature; masked pixels stay so."""
    extra = sum((error.clamp_min(0).square() for error in errors), start=torch.zeros_like(weight))
    return weight * torch.rsqrt(1 + extra * weight.square())


def box(maps: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels, fewer at the edges."""
    mean: Tensor = torch.nn.functional.avg_pool2d(
        maps[:, None], 3, stride=1, padding=1, count_include_pad=False
    )[:, 0]
    return mean
