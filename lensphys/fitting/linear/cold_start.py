"""Cold start of a fit: from images alone to a lens and a source that explain them.

The light of the lens is fitted first, with the arcs clipped. Sources whose images would be where
light is left are then tried for several Einstein radii: as a few compact Gaussians, which cannot
copy an image as a free source can, and then as shapelets of low order. The evidence decides which
are kept.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.linear.binning import bin_images
from lensphys.fitting.linear.components import Component, Sky
from lensphys.fitting.linear.default_priors import BROADEST, make_priors, narrow_bounds
from lensphys.fitting.linear.gaussians import GaussianLight, GaussianSource
from lensphys.fitting.linear.light_start import sharpen, soften, subtract_light
from lensphys.fitting.linear.problem import LinearProblem
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.seeds import list_radii, list_seeds, measure_arcs
from lensphys.fitting.linear.separable import ShapeletSource
from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.optimiser import State, begin, descend
from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter
from lensphys.rendering import Pixels

#: Part of the lens light and of the arcs that counts as noise while the search goes on: neither is
#: described any better yet.
_LIGHT_ERROR, _ARC_ERROR = 0.03, 0.15
#: Widths of compact sources, in radii of the arcs.
_WIDTHS = (0.025, 0.04, 0.06, 0.09, 0.13, 0.2)
#: Steps, and fits that are kept after them: with compact sources, with shapelets of low order.
_STAGES = ((9, 5), (10, 3))
#: Highest order of these; steps between two changes of the strength of their regularisation.
_ORDER, _PERIOD = 6, 3
#: Those of a quick search: widths; steps, and what is kept after them, with compact sources; then
#: with shapelets; their highest order; rounds of clipping.
_FEW_WIDTHS, _QUICK_STAGES = (0.035, 0.08, 0.17), ((0, 6), (5, 2), (5, 1))
_LOW_ORDER, _FEW_ROUNDS = 4, 4
#: Images that are searched at once: one, so that none depends on those beside it.
_GROUP = 1
#: Those of a quick search, which has the same steps for all of them.
_MANY = 16
#: Two fits are alike whose Einstein radii and source positions, in radii of the arcs, differ by
#: less.
_ALIKE_RADIUS, _ALIKE_PLACE = 0.04, 0.08


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Fits of every image that a cold start ends with, best first.

    Attributes:
        params: ``(B, M)`` by name.
        strength: of the regularisation, ``(B, M)``.
        arc_radius: ``(B,)``, arcsec.
        shape: centre and ellipticity of the light of the lens, ``(B,)`` by name; None where the
            lens is dark.
        weight: one over the noise of the search, ``(B, ny, nx)``; None without a search.
    """

    params: dict[str, Tensor]
    strength: Tensor
    arc_radius: Tensor
    shape: dict[str, Tensor] | None
    weight: Tensor | None

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """Candidates of all images, from those of groups of them."""

        def cat(pieces: Sequence[Any]) -> Any:
            if isinstance(pieces[0], dict):
                return {name: torch.cat([part[name] for part in pieces]) for name in pieces[0]}
            return None if pieces[0] is None else torch.cat(list(pieces))

        fields = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: cat([getattr(part, name) for part in parts]) for name in fields})


def search(
    images: Tensor,
    weight: Tensor,
    pixels: Pixels,
    *,
    lens_light: bool,
    sky: Sky | None = None,
    neighbours: Sequence[MassProfile] = (),
    start: Mapping[str, Tensor] | None = None,
    fixed: Mapping[str, Tensor] | None = None,
    quick: bool = False,
) -> Candidates:
    """Search lenses and sources that explain images.

    Args:
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``.
        pixels: of the images, with one ray each.
        lens_light: the lens shines.
        sky: background, if any.
        neighbours: given mass profiles.
        start: values ``(B,)`` near which parameters are searched.
        fixed: values ``(B,)`` of parameters that are known.
        quick: fewer starting points and steps, behind a light of the lens that is not fitted again.
    """
    known = {**(start or {}), **(fixed or {})}
    rounds = {"rounds": _FEW_ROUNDS} if quick else {}
    light = subtract_light(images, weight, pixels, sky, **rounds) if lens_light else None
    nothing = images.new_zeros(len(images))
    if light is None:
        shape = dict.fromkeys(("e1", "e2", "center_x", "center_y"), nothing)
        arcs, soft = images, soften(weight, _ARC_ERROR * images)
    else:
        shape = {k: light.params[f"lens_light_{k}"] for k in ("e1", "e2", "center_x", "center_y")}
        arcs = images - light.model
        soft = soften(weight, _LIGHT_ERROR * light.model, _ARC_ERROR * arcs)
    shape |= {name: known[name] for name in shape if name in known}
    x = pixels.x - shape["center_x"][:, None, None]
    y = pixels.y - shape["center_y"][:, None, None]
    seen = weight if light is None else light.weight
    sharp = sharpen(arcs, weight > 0)
    arc_radius = measure_arcs(sharp, seen, x, y)
    radii = list_radii(arc_radius)
    if "theta_E" in known:
        arc_radius = torch.maximum(arc_radius, known["theta_E"])
        radii = known["theta_E"][:, None] * torch.linspace(0.9, 1.1, 5).to(radii)
    seeds = list_seeds(sharp, seen, x, y, shape["e1"], shape["e2"], radii)
    for axis in ("x", "y"):
        centre = shape[f"center_{axis}"][:, None].expand(seeds["theta_E"].shape)
        seeds[f"center_{axis}"] = centre
        seeds[f"source_center_{axis}"] = seeds[f"source_center_{axis}"] + centre
    rows = seeds["theta_E"].shape[1]
    points = {name: value.flatten() for name, value in seeds.items()}
    owner = torch.arange(len(images), device=images.device).repeat_interleave(rows)
    if light is not None:
        points |= {name: value[owner] for name, value in light.params.items()}
    for name, value in known.items():
        points[name] = value[owner]
    seen_shape = shape if light is not None else None
    behind, own_sky = (arcs, None) if quick and light is not None else (images, sky)
    lit = lens_light and not quick
    task = _Search(
        behind, soft, pixels, lit, own_sky, neighbours, arc_radius, seen_shape, fixed or {}
    )
    *compact, (steps, left) = _QUICK_STAGES if quick else _STAGES
    widths = torch.tensor(_FEW_WIDTHS if quick else _WIDTHS) * float(arc_radius.double().median())
    for some, keep in compact:
        points, strength, owner = task.run(
            GaussianSource(widths), points, None, owner, some, keep, hold_light=lit
        )
    if "source_beta" not in known:
        points["source_beta"] = 0.075 * points["theta_E"]
    order = _LOW_ORDER if quick else _ORDER
    points, strength, owner = task.run(ShapeletSource(order), points, None, owner, steps, left)
    kept = len(owner) // len(images)
    return Candidates(
        params={name: value.view(len(images), kept) for name, value in points.items()},
        strength=strength.view(len(images), kept),
        arc_radius=arc_radius,
        shape=shape if light is not None else None,
        weight=soft,
    )


def search_coarsely(
    images: Tensor,
    weight: Tensor,
    pixels: Pixels,
    model: LinearModel,
    start: dict[str, Tensor],
    fixed: dict[str, Tensor],
    quick: bool,
) -> Candidates:
    """Search on images of wider pixels, a group at a time.

    Args:
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``.
        pixels: of the images.
        model: kind of scene.
        start, fixed, quick: see :func:`search`.
    """
    images, weight, coarse = bin_images(images, weight, pixels)
    names = set(model.scene(coarse).names)
    parts = []
    for group in torch.arange(len(images), device=images.device).split(_MANY if quick else _GROUP):
        taken = [
            {name: value[group] for name, value in values.items() if name in names}
            for values in (start, fixed)
        ]
        parts.append(
            search(
                images[group],
                weight[group],
                coarse.take(group),
                lens_light=model.lens_light is not None,
                sky=model.background(coarse),
                neighbours=model.take(group).neighbours,
                start=taken[0],
                fixed=taken[1],
                quick=quick,
            )
        )
    return Candidates.join(parts)


@dataclasses.dataclass(frozen=True)
class _Search:
    """Data and settings that all stages of a search share."""

    images: Tensor
    weight: Tensor
    pixels: Pixels
    lens_light: bool
    sky: Sky | None
    neighbours: Sequence[MassProfile]
    arc_radius: Tensor
    shape: dict[str, Tensor] | None
    fixed: Mapping[str, Tensor]

    def run(
        self,
        source: Component,
        points: dict[str, Tensor],
        strength: Tensor | None,
        owner: Tensor,
        steps: int,
        keep: int,
        *,
        hold_light: bool = False,
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Fit all rows with a kind of source, and keep the best and distinct ones of each image."""
        lights = [GaussianLight(self.pixels)] if self.lens_light else []
        deflectors = Deflectors("SIE", neighbours=self.neighbours)
        scene = LinearScene(deflectors, [source], lights, sky=self.sky)
        fixed: dict[str, Parameter] = {
            name: value[owner] for name, value in self.fixed.items() if name in scene.ranges
        }
        if hold_light:
            fixed |= {name: points[name] for name in scene.light_names}
        problem = make_problem(
            scene,
            self.pixels,
            self.images,
            self.weight,
            owner,
            self.arc_radius,
            self.shape,
            fixed,
            points["theta_E"],
        )
        if strength is not None:
            problem.strength.copy_(strength)
        values = stack_points(scene, points)
        index = torch.arange(len(owner), device=owner.device)
        state = begin(problem, problem.bounds.inverse(values, index), index)
        refine(problem, state, steps, tolerance=0.1)
        measured = problem.measure(state.z, index)
        params, _ = problem.bounds.forward(state.z, index)
        found = {**points, **scene.named(params)}
        chosen = self._choose(found, measured["log_posterior"], owner, keep)
        kept = {name: value[chosen] for name, value in found.items()}
        return kept, problem.strength[chosen], owner[chosen]

    def _choose(self, found: dict[str, Tensor], score: Tensor, owner: Tensor, keep: int) -> Tensor:
        """Choose the rows of the highest scores that differ from one another, ``keep`` an image."""
        images = len(self.images)
        rows = len(owner) // images
        score = score.view(images, rows).nan_to_num(-math.inf, -math.inf, -math.inf)
        radius, x, y = (
            found[name].view(images, rows)
            for name in ("theta_E", "source_center_x", "source_center_y")
        )
        chosen = []
        for _ in range(min(keep, rows)):
            best = score.argmax(1, keepdim=True)
            chosen.append(best)
            ratio = (radius / radius.gather(1, best) - 1).abs()
            apart = torch.hypot(x - x.gather(1, best), y - y.gather(1, best))
            alike = (ratio < _ALIKE_RADIUS) & (apart < _ALIKE_PLACE * self.arc_radius[:, None])
            # Where all are alike the next best ones do.
            score = torch.where(alike, score - 1e12, score).scatter(1, best, -math.inf)
        first = rows * torch.arange(images, device=owner.device)
        return (torch.cat(chosen, 1) + first[:, None]).flatten()


def make_problem(
    scene: LinearScene,
    pixels: Pixels,
    images: Tensor,
    weight: Tensor,
    owner: Tensor,
    arc_radius: Tensor,
    shape: Mapping[str, Tensor] | None,
    fixed: Mapping[str, Parameter],
    theta_E: Tensor,
) -> LinearProblem:
    """Objective of rows with default bounds and priors, from the arcs and the light of the lens."""
    half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
    bounds = Bounds(scene.ranges, half_field, images.new_ones(len(owner)), {}, fixed)
    radius = arc_radius[owner]
    narrow_bounds(bounds, scene.names, radius, theta_E, BROADEST)
    own = shape and {name: value[owner] for name, value in shape.items()}
    priors = make_priors(scene.names, radius, own)
    return LinearProblem(scene, pixels, bounds, images, weight, priors=priors, owner=owner)


def stack_points(scene: LinearScene, points: Mapping[str, Tensor]) -> Tensor:
    """Stack values by name in the order of a scene ``(rows, P)``; 0 where there is none."""
    like = next(iter(points.values()))
    return torch.stack([points.get(name, torch.zeros_like(like)) for name in scene.names], 1)


def refine(problem: LinearProblem, state: State, steps: int, tolerance: float) -> None:
    """Step all rows, and let the evidence choose their regularisation in between."""
    regularised = bool(problem.scene.regularised.any())
    left = steps
    while left > 0:
        some = min(_PERIOD, left) if regularised and left > 2 else left
        descend(problem, state, some, tolerance)
        left -= some
        if regularised and left > 0:
            update_strength(problem, state)


def update_strength(problem: LinearProblem, state: State) -> None:
    """Take the strength of the regularisation that the evidence prefers, and evaluate anew."""
    state.objective, state.normal, state.gradient = problem.adapt(state.z, state.index)
    state.neglected = torch.zeros_like(state.neglected)  # that of another objective
    state.converged = torch.zeros_like(state.converged)
