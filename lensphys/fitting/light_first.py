"""Light of a lens, fitted before the rest of a scene: a Sersic profile, with the arcs clipped."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fitting.optimiser import find_best
from lensphys.fitting.problem import SersicProblem

#: Part of the light of the lens that counts as noise: an arc on it must stand out all the more.
_LIGHT_ERROR = 0.03
#: Radii (in half fields) and indices of the profiles that the fit starts from.
_RADII, _INDICES = (0.05, 0.15, 0.4), (1.0, 4.0)
#: Steps before arcs are clipped, rounds of clipping, and steps after each.
_FIRST, _ROUNDS, _STEPS = 6, 4, 8
#: Residual, in sigma of the mean of nine pixels, above which light is taken for an arc.
_CLIP = 4.0
#: Pixels around the centre of the light that are its core, where nothing is clipped.
_CORE = 3.0
#: Distance from the middle of an image, in its widths, within which its lens is.
_NEAR = 0.15
_PREFIX = "lens_light_"
_TOLERANCE = 0.1


@dataclasses.dataclass(frozen=True)
class LightFirst:
    """Light of the lenses of ``B`` images, as it is known before the arcs are.

    Attributes:
        params: by name, ``lens_light_amplitude`` and so on, ``(B,)`` each.
        arcs: images less this light, ``(B, ny, nx)``.
        weight: one over the noise of the images and of this light, ``(B, ny, nx)``.
    """

    params: dict[str, Tensor]
    arcs: Tensor
    weight: Tensor

    def take(self, which: Tensor) -> LightFirst:
        """Light of some of the images."""
        params = {name: value[which] for name, value in self.params.items()}
        return LightFirst(params, self.arcs[which], self.weight[which])


def fit_light(problem: SersicProblem, known: Mapping[str, Tensor]) -> LightFirst:
    """Fit the light of the lens alone, clipping what stands above it outside of its core.

    Args:
        problem: of a scene with lens light.
        known: values ``(B,)`` to start from, by name.
    """
    scene, pixels, images, weight = problem.scene, problem.pixels, problem.images, problem.weight
    everything = torch.arange(len(images), device=images.device)
    middle = scene.named(0.5 * (problem.bounds.low + problem.bounds.high))
    others = {name: value for name, value in middle.items() if not name.startswith(_PREFIX)}
    bounds = problem.bounds.hold(others | {"source_amplitude": torch.zeros_like(images[:, 0, 0])})

    def descend(used: Tensor, points: Tensor, steps: int) -> Tensor:
        own = SersicProblem(scene, pixels, bounds, problem.priors, images, used)
        return bounds.forward(find_best(own, points, steps, _TOLERANCE).z, everything)[0]

    x, y = pixels.centers
    soft = soften(weight, _LIGHT_ERROR * images)
    points = _list_points(problem, soft, _find_peak(images * (weight > 0), x, y), known)
    params = descend(soft, points, _FIRST)
    for _ in range(_ROUNDS):
        light = scene.named(params)
        centre = (light[f"{_PREFIX}center_{axis}"][:, None, None] for axis in "xy")
        distance = torch.hypot(*(at - c for at, c in zip((x, y), centre, strict=True)))
        model = _draw(problem, light)
        soft = soften(weight, _LIGHT_ERROR * model)
        bright = 3 * _smooth((images - model) * soft) > _CLIP
        bright &= distance > _CORE * pixels.pixel_scale
        used = torch.where(_smooth(bright.to(images)) > 0, 0.0, soft)
        params = descend(used, params[:, None], _STEPS)
    model = _draw(problem, scene.named(params))
    own = {name: v for name, v in scene.named(params).items() if name.startswith(_PREFIX)}
    return LightFirst(own, images - model, soften(weight, _LIGHT_ERROR * model))


def soften(weight: Tensor, error: Tensor) -> Tensor:
    """Add an error to the noise: one over both in quadrature; masked pixels stay so."""
    return weight * torch.rsqrt(1 + (error.clamp_min(0) * weight).square())


def _list_points(
    problem: SersicProblem, weight: Tensor, peak: tuple[Tensor, Tensor], known: Mapping[str, Tensor]
) -> Tensor:
    """List profiles to start from, of the amplitudes that suit the images: ``(B, M, P)``."""
    scene, points = problem.scene, []
    half_field = 0.5 * problem.pixels.pixel_scale * min(problem.pixels.shape)
    zero = torch.zeros_like(peak[0])
    unit = problem.images.amax((-2, -1)) / problem.pixels.pixel_scale**2
    unit = torch.where(unit > 0, unit, 1.0)
    for radius, index in itertools.product(_RADII, _INDICES):
        light = {
            "amplitude": unit,
            "R_sersic": zero + radius * half_field,
            "n_sersic": zero + index,
            "e1": zero,
            "e2": zero,
            "center_x": peak[0],
            "center_y": peak[1],
        }
        values = {f"{_PREFIX}{name}": value for name, value in light.items()}
        values |= {name: value for name, value in known.items() if name.startswith(_PREFIX)}
        model = _draw(problem, values)
        overlap = ((model * weight) * (problem.images * weight)).sum((-2, -1))
        norm = (model * weight).square().sum((-2, -1))
        values[f"{_PREFIX}amplitude"] = unit * torch.where(norm > 0, overlap / norm, 0.0)
        points.append(torch.stack([values.get(name, zero) for name in scene.names], -1))
    return torch.stack(points, 1)


def _draw(problem: SersicProblem, values: Mapping[str, Tensor]) -> Tensor:
    """Draw the light of the lens alone, ``(B, ny, nx)``."""
    light, pixels = problem.scene.light(values), problem.pixels
    assert light is not None
    return pixels.collect(pixels.brightness(light))


def _find_peak(images: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Position, arcsec, of the brightest smoothed pixel ``(B,)`` near the middle of each image."""
    near = torch.hypot(x, y) < _NEAR * min((x.amax() - x.amin(), y.amax() - y.amin()))
    brightest = torch.where(near, _smooth(images), -math.inf).flatten(1).argmax(1)
    return x.flatten()[brightest], y.flatten()[brightest]


def _smooth(maps: Tensor) -> Tensor:
    """Mean over 3 x 3 pixels, fewer at the edges."""
    mean: Tensor = torch.nn.functional.avg_pool2d(
        maps[:, None], 3, stride=1, padding=1, count_include_pad=False
    )[:, 0]
    return mean
