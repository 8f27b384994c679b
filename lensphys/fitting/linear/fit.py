"""Fit of scenes whose light is linear: cold start, then full order and resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds, check_names, per_image
from lensphys.fitting.implicit import ImplicitFit
from lensphys.fitting.linear.binning import bin_images
from lensphys.fitting.linear.cold_start import (
    Candidates,
    refine,
    search_coarsely,
    update_strength,
)
from lensphys.fitting.linear.default_priors import BROADEST, make_priors, narrow_bounds
from lensphys.fitting.linear.light_start import soften
from lensphys.fitting.linear.problem import LinearProblem, choose_strength
from lensphys.fitting.linear.restart import align_mass
from lensphys.fitting.linear.rivals import list_rivals
from lensphys.fitting.linear.rows import Leaders, choose_rows, read_values
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.settings import LinearModel
from lensphys.fitting.linear.several import add_sources, sort_profiles, start_light
from lensphys.fitting.linear.stages import Stage, raise_order, widen
from lensphys.fitting.optimiser import State, begin, descend
from lensphys.fitting.posterior import compute_evidence, count_effective, invert_fisher
from lensphys.fitting.priors import Priors
from lensphys.fitting.result import FitResult
from lensphys.parameters import Parameter
from lensphys.rendering import Pixels

#: Steps that decide between the candidates, and rounds of reweighting with the model.
_DECIDE, _ROUNDS = 10, 2
#: Steps at full resolution, in each of these rounds, that decide between close candidates.
_SETTLE = 15
#: Rounds in which the regularisation follows the evidence in a quick fit, whose steps are few: the
#: first changes it by a factor of 30, the last by less than a tenth.
_MANY_ROUNDS = 4
#: Standard deviations of chi^2 above its mean from which on a fit is tried anew.
_UNEXPLAINED = 20.0
#: Half the width of a grid of pixels about a source, in scales of its shapelets.
_GRID = 6.0
#: Largest scale of shapelets, in Einstein radii, once the lens is found.
_BROADEST = 0.4


def fit_linear(
    images: Tensor,
    weight: Tensor,
    pixels: Pixels,
    model: LinearModel,
    *,
    start: Mapping[str, Parameter],
    fixed: Mapping[str, Parameter],
    bounds: Mapping[str, tuple[float, float]],
    priors: Mapping[str, tuple[Parameter, Parameter]],
    quick: bool = False,
    max_steps: int,
    tolerance: float,
) -> FitResult:
    """Fit every image; see :func:`lensphys.fit`.

    Args:
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``, 0 where a pixel is masked.
        pixels: of the images.
        model: kind of scene.
        start, fixed, bounds, priors, max_steps, tolerance: of :func:`lensphys.fit`.
        quick: search as ``n_starts=1`` does.
    """
    scene = model.scene(pixels)
    data, noise = images.detach(), weight.detach()
    with torch.no_grad():
        like = data.new_zeros(len(data))
        given = {}
        check_names("bounds", bounds, scene.names)
        check_names("priors", priors, scene.names)
        for what, values in (("start", start), ("fixed", fixed)):
            check_names(what, values, scene.names)
            read = {k: per_image(f"{what} of {k}", v, like) for k, v in values.items()}
            given[what] = read
        complete = set(scene.names) <= {*start, *fixed}
        if complete:
            whole = {**given["start"], **given["fixed"]}
            found = _take_start(whole, choose_strength(noise, pixels))
        else:
            found = search_coarsely(data, noise, pixels, model, **given, quick=quick)
        # Only a search needs narrow bounds.
        broadest = _BROADEST if complete else BROADEST
        build = _Builder(
            scene,
            pixels,
            data,
            noise,
            model,
            found,
            given["fixed"],
            bounds,
            priors,
            broadest,
            quick,
        )
        best = build.decide(tolerance) if found.strength.shape[1] > 1 else build.first()
        first = Stage(*build.finish(best, max_steps, tolerance))

        def fit_next(model: LinearModel, before: Stage) -> Stage:
            wide = dataclasses.replace(
                build, scene=model.scene(pixels), model=model, broadest=_BROADEST
            )
            best = before.best
            if before is first and not (complete or quick):
                best = wide.restart(first, max_steps, tolerance)
            return Stage(*wide.finish(best, max_steps, tolerance))

        done = not max_steps or ((complete or quick) and model.further == [model])
        stage, shift = raise_order(first, [] if done else model.further, fit_next)
        problem, state, measured = stage.problem, stage.state, stage.measured
        scene = problem.scene
        chosen = {*start, *fixed, *bounds, *priors}
        order = sort_profiles(scene, state, stage.values, measured["amplitudes"], chosen)
        shift = shift.gather(1, order)
        is_sorted = bool((order == torch.arange(len(scene.names), device=order.device)).all())
        covariance = invert_fisher(problem, state.z, state.normal)
        energy = -measured["log_posterior"]
        evidence = compute_evidence(problem, state.z, state.normal, energy)
        effective = measured["effective"] + count_effective(problem, covariance)
        dof = (problem.weight > 0).sum((-2, -1)) - effective
        if model.source == "shapelets":
            covariance = widen(covariance, stage, shift)

    z = state.z
    follow = torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad)
    if follow:
        # The noise of the model, and the regularisation, stay as they are.
        weight = weight * (problem.weight / noise).nan_to_num(0.0, 0.0, 0.0)
        z = ImplicitFit.apply(images, weight, state.z, state.converged, problem)
        best_model, amplitudes = problem.model(z, state.index, images, weight)
    else:
        weight = problem.weight
        with torch.no_grad():
            # Those that were measured are in the order before.
            now = measured if is_sorted else problem.measure(z, state.index)
            amplitudes = now["amplitudes"]
            parts = problem.draw(z, state.index, amplitudes)
        best_model = sum(parts.values(), torch.zeros_like(data))
    params = scene.named(problem.bounds.forward(z, state.index)[0])
    dtype = images.dtype
    return FitResult(
        params=params,
        errors=scene.named(covariance.diagonal(dim1=1, dim2=2).sqrt()),
        names=scene.names,
        covariance=covariance,
        chi2_dof=(measured["chi2"] / dof).to(dtype),
        converged=state.converged,
        steps=state.steps,
        model=best_model,
        residual=(images - best_model) * weight,
        scene=scene,
        amplitudes=scene.split(amplitudes.to(dtype)),
        effective=effective.to(dtype),
        evidence=evidence.to(dtype),
        priors=problem.priors.named(dtype),
        problem=problem,
    )


def _take_start(values: dict[str, Tensor], strength: Tensor) -> Candidates:
    """Take the values of a caller for the only candidate."""
    points = {name: value[:, None] for name, value in values.items()}
    radius = values["theta_E"]
    lit = "lens_light_e1" in values
    names = ("e1", "e2", "center_x", "center_y")
    return Candidates(
        params=points,
        strength=strength[:, None],
        arc_radius=1.15 * radius,
        shape={name: values[f"lens_light_{name}"] for name in names} if lit else None,
        weight=None,
    )


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Final fits of all images, from the candidates of a search."""

    scene: LinearScene
    pixels: Pixels
    images: Tensor
    weight: Tensor
    model: LinearModel
    found: Candidates
    fixed: dict[str, Tensor]
    bounds: Mapping[str, tuple[float, float]]
    priors: Mapping[str, tuple[Parameter, Parameter]]
    broadest: float
    quick: bool = False

    def first(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return the first candidate of every image, and its regularisation."""
        return {k: v[:, 0] for k, v in self.found.params.items()}, self.found.strength[:, 0]

    def decide(self, tolerance: float) -> tuple[dict[str, Tensor], Tensor]:
        """Return the better candidate of every image, after some steps of the final scene."""
        images, _, coarse = bin_images(self.images, self.weight, self.pixels)
        batch, count = self.found.strength.shape
        owner = torch.arange(batch, device=images.device).repeat_interleave(count)
        scene = self.model.steps[0].scene(coarse)
        points = self._complete({k: v.flatten() for k, v in self.found.params.items()}, owner)
        assert self.found.weight is not None
        problem = self._problem(scene, coarse, images, self.found.weight, owner, points)
        problem.strength.copy_(self.found.strength.flatten())
        state = self._begin(problem, points)
        refine(problem, state, _DECIDE, tolerance)
        if self.model.sources < 2:
            return self._settle(problem, state, points, tolerance)
        best = choose_rows(problem, state, batch)
        found = read_values(problem, state.take(best), {k: v[best] for k, v in points.items()})
        return self._add_sources(found, tolerance)

    def _settle(
        self, problem: LinearProblem, state: State, points: dict[str, Tensor], tolerance: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Choose between candidates; those that are close are fitted at full resolution first."""
        batch, count = self.found.strength.shape
        score = problem.measure(state.z, state.index)["log_posterior"].view(batch, count)
        values, strength = read_values(problem, state, points)
        order, close = list_rivals(score, values["theta_E"].view(batch, count))
        rows = order + count * torch.arange(batch, device=order.device)[:, None]
        first = rows[:, 0]
        leaders = Leaders.begin({k: v[first] for k, v in values.items()}, strength[first])
        for k in range(count):
            owner = torch.nonzero(close[:, k])[:, 0]
            if not owner.numel():
                continue
            chosen = rows[owner, k]
            tried = {name: value[chosen] for name, value in values.items()}, strength[chosen]
            leaders.offer(*self.finish(tried, _SETTLE, tolerance, owner), owner)
        return leaders.values, leaders.strength

    def restart(
        self, before: Stage, max_steps: int, tolerance: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Try another start for the images that a stage leaves unexplained."""
        leaders = Leaders.begin(*before.best)
        owner = torch.nonzero(before.find_excess() > _UNEXPLAINED)[:, 0]
        if owner.numel():
            for values in (before.best[0], align_mass(before.problem, before.state)):
                tried = {k: v[owner] for k, v in values.items()}, before.best[1][owner]
                leaders.offer(*self.finish(tried, max_steps, tolerance, owner), owner)
        return leaders.values, leaders.strength

    def _add_sources(
        self, best: tuple[dict[str, Tensor], Tensor], tolerance: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Replace shapelets by several Sersic profiles."""
        images, weight, coarse = bin_images(self.images, self.weight, self.pixels)
        scenes = [model.scene(coarse) for model in self.model.steps[1:]]
        owner = torch.arange(len(images), device=images.device)

        def pose(scene: LinearScene, points: dict[str, Tensor], owner: Tensor) -> LinearProblem:
            return self._problem(scene, coarse, images, weight, owner, points)

        given = {name: value[:, 0] for name, value in self.found.params.items()}
        return add_sources(scenes, self._complete(best[0], owner), given, pose, tolerance)

    def finish(
        self,
        best: tuple[dict[str, Tensor], Tensor],
        max_steps: int,
        tolerance: float,
        owner: Tensor | None = None,
    ) -> tuple[LinearProblem, State]:
        """Fit the final scene at full resolution, to all images or to those in ``owner``."""
        if owner is None:
            owner = torch.arange(len(self.images), device=self.images.device)
        points = self._complete(best[0], owner)
        problem = self._problem(self.scene, self.pixels, self.images, self.weight, owner, points)
        problem.strength.copy_(best[1])
        state = self._begin(problem, points)
        given = self.found.weight is None and max_steps > 0
        if self.quick and given and bool(self.scene.regularised.any()):
            # A start that was given has no regularisation of its own.
            update_strength(problem, state)
        errors = self.model.errors
        for _ in range(_ROUNDS if any(errors) and max_steps > 0 else 1):
            if any(errors):
                light, source = problem.split_light(state.z, state.index)
                soft = soften(self.weight[owner], errors[0] * light, errors[1] * source)
                problem.weight = self.weight.index_copy(0, owner, soft)
                update_strength(problem, state)
            self._converge(problem, state, max_steps, tolerance)
        return problem, state

    def _converge(
        self, problem: LinearProblem, state: State, max_steps: int, tolerance: float
    ) -> None:
        """Step until parameters and regularisation stay."""
        left = max_steps
        while left > 0:
            some = min(left, 5 if left == max_steps else 8)
            descend(problem, state, some, tolerance)
            left -= some
            done = bool(state.converged.all())
            if left > 0 and bool(problem.scene.regularised.any()):
                before = problem.strength.clone()
                update_strength(problem, state)
                settled = (problem.strength / before).log().abs().amax() < 0.1
                if done and bool(settled):
                    descend(problem, state, left, tolerance)
                    return
            elif done:
                return

    def _begin(self, problem: LinearProblem, points: dict[str, Tensor]) -> State:
        index = torch.arange(len(problem.owner), device=problem.owner.device)
        values = torch.stack([points[name] for name in problem.scene.names], 1)
        return begin(problem, problem.bounds.inverse(values, index), index)

    def _complete(self, points: dict[str, Tensor], owner: Tensor) -> dict[str, Tensor]:
        """Add parameters of the final scene that those of the search lead to."""
        radius = self.found.arc_radius[owner]
        beta = points.get("source_beta", 0.075 * radius)
        derived = {
            "gamma": torch.full_like(radius, 2.0),
            "source_size": _GRID * beta,
            "source_R_sersic": 1.5 * beta,
            "source_n_sersic": torch.ones_like(radius),
            "lens_light_R_sersic": 0.7 * radius,
            "lens_light_n_sersic": torch.full_like(radius, 3.0),
        }
        zero = torch.zeros_like(radius)
        derived |= start_light(self.scene.names, points, radius)
        full = {name: points.get(name, derived.get(name, zero)) for name in self.scene.names}
        # Scenes that come before the final one have parameters of their own.
        full = {**points, **full}
        return full | {name: value[owner] for name, value in self.fixed.items()}

    def _problem(
        self,
        scene: LinearScene,
        pixels: Pixels,
        images: Tensor,
        weight: Tensor,
        owner: Tensor,
        points: dict[str, Tensor],
    ) -> LinearProblem:
        # While profiles are added to a source, a scene has not all of its parameters yet.
        held: dict[str, Parameter] = {
            k: v[owner] for k, v in self.fixed.items() if k in scene.ranges
        }
        limits = {k: v for k, v in self.bounds.items() if k in scene.ranges}
        own = {k: v for k, v in self.priors.items() if k in scene.ranges}
        if self.model.source == "pixels":
            # The pixels themselves move the light within the grid.
            for name in ("source_center_x", "source_center_y", "source_size"):
                held[name] = points[name]
        half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
        bounds = Bounds(scene.ranges, half_field, images.new_ones(len(owner)), limits, held)
        radius = self.found.arc_radius[owner]
        names = set(scene.names) - set(self.bounds)
        narrow_bounds(bounds, names, radius, points["theta_E"], self.broadest)
        shape = self.found.shape
        if shape is not None:
            shape = {name: value[owner] for name, value in shape.items()}
        known = make_priors(scene.names, radius, shape, self.broadest)
        given = Priors.read(own, scene.names, self.found.arc_radius).take(owner)
        return LinearProblem(
            scene,
            pixels,
            bounds,
            images,
            weight,
            priors=known.overlaid(given),
            owner=owner,
            rounds=_MANY_ROUNDS if self.quick else 1,
        )
