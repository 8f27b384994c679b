"""Light of a lens without the arcs around it: what a cold start takes off first."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.gaussians import GaussianLight
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.optimiser import begin, descend
from lensphys.fitting.priors import Priors
from lensphys.rendering import Pixels

#: Rounds of steps and, between them, of clipping; the first ones clip nothing.
_ROUNDS, _UNCLIPPED, _STEPS = 6, 1, 2
#: Part of the model that counts as noise: Gaussians of two ellipses describe a galaxy this well.
_MODEL_ERROR = 0.04
#: Smoothed residual, in sigma, above which light is taken for an arc, outside so many pixels.
_CLIP, _CORE = 4.0, 3.0
#: Standard deviation of the ellipticities, and of the centre in half fields.
_ELLIPTICITY, _CENTRE = 0.3, 0.06
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


def subtract_light(images: Tensor, weight: Tensor, pixels: Pixels) -> LightStart:
    """Fit the light of the lens alone, clipping what stands above it, such as arcs.

    Args:
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``.
        pixels: of the images, with one ray each.
    """
    scene = LinearScene(None, [], [GaussianLight(pixels)])
    batch = len(images)
    half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
    bounds = Bounds(scene.ranges, half_field, images.new_ones(batch), {})
    centre = find_peak(images * (weight > 0), pixels)
    mean = images.new_zeros(batch, len(scene.names))
    sd = torch.full_like(mean, _ELLIPTICITY)
    for name, value in zip(("lens_light_center_x", "lens_light_center_y"), centre, strict=True):
        k = scene.names.index(name)
        mean[:, k], sd[:, k] = value, _CENTRE * half_field
    index = torch.arange(batch, device=images.device)
    z = bounds.inverse(mean, index)
    priors = Priors(scene.names, mean, sd)
    radius = torch.hypot(pixels.x, pixels.y)
    outside = radius > _CORE * pixels.pixel_scale
    used = soft = weight
    for step in range(_ROUNDS):
        problem = LinearProblem(scene, pixels, bounds, images, used, priors=priors)
        state = begin(problem, z, index)
        descend(problem, state, _STEPS, 0.1)
        z = state.z
        model, _ = problem.model(z, index, images, used)
        soft = soften(weight, _MODEL_ERROR * model)
        used = soft
        if step >= _UNCLIPPED:
            # Means of nine pixels have a third of the noise.
            above = 3 * box((images - model) * soft) > _CLIP
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
