"""Fit of a deflector and of Sersic profiles, all of whose parameters are non-linear."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds, check_names, per_image
from lensphys.fitting.implicit import ImplicitFit
from lensphys.fitting.light_first import LightFirst, fit_light, soften
from lensphys.fitting.optimiser import State
from lensphys.fitting.posterior import compute_evidence, count_effective, invert_fisher
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import SersicProblem
from lensphys.fitting.result import FitResult
from lensphys.fitting.scene import LensScene
from lensphys.fitting.search import Search, keep_better
from lensphys.fitting.templates import Templates, starting_values
from lensphys.parameters import Parameter
from lensphys.rendering import Pixels

#: Rounds in which the noise follows from the model, and the change of the noise that ends them.
_ROUNDS, _SETTLED = 3, 0.01


@dataclasses.dataclass(frozen=True)
class SersicFit:
    """Fit of a batch of images with a :class:`~lensphys.fitting.scene.LensScene`.

    Attributes:
        scene: model that is fitted.
        simpler: a scene that it contains, which is fitted first; None for none.
        search: settings of the search.
        errors: part of the lens light, and of the lensed source, that counts as noise.
        start, fixed, bounds, priors: see :func:`lensphys.fit`.

    Raises:
        ValueError: see :func:`lensphys.fit`.
    """

    scene: LensScene
    simpler: LensScene | None
    search: Search
    errors: tuple[float, float]
    start: Mapping[str, Parameter]
    fixed: Mapping[str, Parameter]
    bounds: Mapping[str, tuple[float, float]]
    priors: Mapping[str, tuple[Parameter, Parameter]]

    def __post_init__(self) -> None:
        check_names("start", self.start, self.scene.names)

    @property
    def complete(self) -> bool:
        """True if nothing is to be searched: the fit goes on from its start."""
        given = {*self.start, *self.fixed}
        return bool(self.start) and (not self.search.max_steps or given >= {*self.scene.names})

    def run(
        self, images: Tensor, weight: Tensor, pixels: Pixels, templates: Mapping[str, Templates]
    ) -> FitResult:
        """Fit every image.

        Args:
            images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``, 0 where a pixel is masked.
            pixels: of the images.
            templates: of this scene and of the simpler one, by the name of their mass; none are
                needed if the fit is complete.
        """
        with torch.no_grad():
            problem, found = self._solve(images, weight, pixels, templates)
            covariance = invert_fisher(problem, found.z, found.normal)
            effective = count_effective(problem, covariance)
            dof = (problem.weight > 0).sum((-2, -1)) - effective
            chi2_dof = problem.chi2(found.objective, found.z) / dof
            evidence = compute_evidence(problem, found.z, found.normal)
            # What the error of the model adds to the noise is a constant.
            factor = torch.where(weight > 0, problem.weight / weight, 0.0)
        z = found.z
        if any(self.errors):
            weight = weight * factor
        if torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad):
            z = ImplicitFit.apply(images, weight, found.z, found.converged, problem)
        params = self.scene.named(problem.bounds.forward(z, found.index)[0])
        model = problem.model(params)
        return FitResult(
            params=params,
            errors=self.scene.named(covariance.diagonal(dim1=1, dim2=2).sqrt()),
            names=self.scene.names,
            covariance=covariance,
            chi2_dof=chi2_dof.to(images.dtype),
            converged=found.converged,
            steps=found.steps,
            model=model,
            residual=(images - model) * weight,
            scene=self.scene,
            amplitudes={},
            effective=effective.to(images.dtype),
            evidence=evidence.to(images.dtype),
            priors=problem.priors.named(images.dtype),
            problem=problem,
        )

    def _solve(
        self, images: Tensor, weight: Tensor, pixels: Pixels, templates: Mapping[str, Templates]
    ) -> tuple[SersicProblem, State]:
        """Find the best fits; the noise of the problem holds the error of the model."""
        problem = self.pose(self.scene, images.detach(), weight.detach(), pixels)
        if not any(self.errors):
            return problem, self._find(problem, templates)
        noise = problem.weight
        everything = torch.arange(len(images), device=images.device)
        if self.complete:
            z = problem.bounds.inverse(self.list_starts(problem)[:, 0], everything)
            problem.weight = self._add_error(problem, z, noise)
        else:
            # Until there is a model, the image stands for it.
            problem.weight = soften(noise, max(self.errors) * problem.images)
        found = self._find(problem, templates)
        for _ in range(_ROUNDS):
            before, problem.weight = problem.weight, self._add_error(problem, found.z, noise)
            params, _ = problem.bounds.forward(found.z, everything)
            found = self.search.descend(problem, params[:, None])
            change = torch.where(noise > 0, problem.weight / before - 1, 0.0)
            if bool(change.abs().max() < _SETTLED):
                break
        return problem, found

    def _add_error(self, problem: SersicProblem, z: Tensor, weight: Tensor) -> Tensor:
        """Add the error of the model at ``z`` to the noise."""
        params, _ = problem.bounds.forward(z, torch.arange(len(z), device=z.device))
        parts = self.scene.parts(self.scene.named(params), problem.pixels)
        for error, part in zip(self.errors, ("lens_light", "source"), strict=True):
            weight = soften(weight, error * parts[part])
        return weight

    def _find(self, problem: SersicProblem, templates: Mapping[str, Templates]) -> State:
        """Fit from a start that is complete; else from templates, and from a simpler scene."""
        if self.complete:
            return self.search.descend(problem, self.list_starts(problem))
        search, known = self.search, self.list_known(problem)
        points = [self.list_starts(problem)] if self.start else []
        light, simple = None, None
        if self.scene.lens_light and search.max_steps:
            light = fit_light(problem, known)
        if self.simpler is not None and search.max_steps:
            simple = _Simpler(self, self.simpler, problem, templates, light)
            points.append(self._complete(problem, simple.params()))
        own, first = templates[self.scene.mass], torch.cat(points, 1) if points else None
        # The simpler scene has tried the other templates already.
        some = search if simple is None else dataclasses.replace(search, n_starts=1)
        found = some.run(problem, own, known, first, light)
        poor = search.find_poor(problem, found)
        if simple is not None and poor.numel():
            simple.retry(poor)
            again = self._complete(problem, simple.params())[poor]
            keep_better(found, poor, search.descend(problem, again, poor))
            poor = search.find_poor(problem, found)
        search.retry(problem, found, poor, own, known, light)
        return found

    def pose(
        self, scene: LensScene, images: Tensor, weight: Tensor, pixels: Pixels
    ) -> SersicProblem:
        """Objective of a scene, with what is given of its parameters."""
        bounds, fixed, priors = self.bounds, self.fixed, self.priors
        if scene is not self.scene:
            bounds = {name: v for name, v in bounds.items() if name in scene.ranges}
            fixed = {name: v for name, v in fixed.items() if name in scene.ranges}
            priors = {name: v for name, v in priors.items() if name in scene.ranges}
        peak = _measure_peak(images, pixels)
        limits = Bounds(scene.ranges, _half_field(pixels), peak, bounds, fixed)
        known = Priors.read(priors, scene.names, peak)
        return SersicProblem(scene, pixels, limits, known, images, weight)

    def list_starts(self, problem: SersicProblem) -> Tensor:
        """Start of the caller, completed: ``(B, 1, P)``."""
        names = problem.scene.ranges
        return self._complete(problem, {k: v for k, v in self.start.items() if k in names})

    def _complete(self, problem: SersicProblem, values: Mapping[str, Parameter]) -> Tensor:
        """Complete values with declared starts: ``(B, 1, P)``."""
        peak = _measure_peak(problem.images, problem.pixels)
        half_field = _half_field(problem.pixels)
        return starting_values(problem.scene, values, half_field, peak)[:, None]

    def list_known(self, problem: SersicProblem) -> dict[str, Tensor]:
        """Values ``(B,)`` that are given, by name."""
        like, known = problem.images[:, 0, 0], {}
        for what, values in (("start of", self.start), ("fixed", self.fixed)):
            for name, value in values.items():
                if name in problem.scene.ranges:
                    known[name] = per_image(f"{what} {name}", value, like)
        return known


class _Simpler:
    """Fits of a scene that another one contains, from which those of the whole may start."""

    def __init__(
        self,
        task: SersicFit,
        scene: LensScene,
        problem: SersicProblem,
        templates: Mapping[str, Templates],
        light: LightFirst | None,
    ) -> None:
        self._search, self._light = task.search, light
        self._problem = task.pose(scene, problem.images, problem.weight, problem.pixels)
        self._templates, self._known = templates[scene.mass], task.list_known(self._problem)
        first = task.list_starts(self._problem) if task.start else None
        given = self._problem, self._templates, self._known
        self._found = self._search.run(*given, first, light)

    def params(self) -> dict[str, Tensor]:
        """Parameters ``(B,)`` by name."""
        found, bounds = self._found, self._problem.bounds
        return self._problem.scene.named(bounds.forward(found.z, found.index)[0])

    def retry(self, which: Tensor) -> None:
        """Improve the fits of some images, if other templates lead to better ones."""
        given = self._templates, self._known, self._light
        self._search.retry(self._problem, self._found, which, *given)


def _half_field(pixels: Pixels) -> float:
    return 0.5 * pixels.pixel_scale * min(pixels.shape)


def _measure_peak(images: Tensor, pixels: Pixels) -> Tensor:
    """Largest surface brightness of each image ``(B,)``; 1 where there is none."""
    peak = images.amax((-2, -1)) / pixels.pixel_scale**2
    return torch.where(peak > 0, peak, 1.0)
