"""Variable projection: the objective of a fit whose amplitudes are solved for at every step."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.amplitudes import Solution, solve_amplitudes
from lensphys.fitting.linear.columns import Columns
from lensphys.fitting.linear.components import Part
from lensphys.fitting.linear.occam import Occam
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.linear.windows import Window
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import Linearisation
from lensphys.products import gram, product
from lensphys.rendering import Pixels
from lensphys.threads import map_chunks

#: Elements of the maps that are evaluated at once; on a CPU they then stay in its cache.
_ELEMENTS = {"cpu": 1 << 21}
_ELEMENTS_ELSEWHERE = 1 << 27
#: Largest change in one step: of positions, in half fields, of what has no unit, and, relative, of
#: what varies in logarithm.
_MOST_SHIFT, _MOST_NUMBER, _MOST_RATIO = 0.03, 0.12, 0.2
#: Strength of the regularisation at first, in units of the noise to the power of -2, and how many
#: times stronger or weaker it may become.
_STRENGTH, _FURTHEST = 1e-3, 1e12


class LinearProblem:
    """Chi^2 of images of a linear scene, minimised over its amplitudes.

    Golub & Pereyra 1973 (SIAM J. Numer. Anal. 10, 413); steps with the Jacobian of Kaufman 1975
    (BIT 15, 49): what amplitudes absorb is taken out of it. The objective is
    ``chi^2 + strength c^T R c`` and the Gaussian priors. It meets the protocol of
    :class:`lensphys.fitting.problem.Problem`. A row is a fit; several may belong to one image.

    Args:
        scene: model that is fitted.
        pixels: of the images, with a PSF for each image or one for all.
        bounds: of the parameters of every row.
        images, weight: ``(B, ny, nx)``; ``weight`` is ``1 / sigma``, 0 where a pixel is masked.
        priors: Gaussian priors of every row; None for none.
        owner: image ``(rows,)`` of each row; by default row k is that of image k.
        marginal: the objective is minus twice the log posterior, marginalised over the amplitudes
            that may be negative: a source of many amplitudes has more room in some lenses than in
            others.
        rounds: in which the strength follows the evidence while the parameters stay.

    Attributes:
        strength: of the regularisation of each row, ``(rows,)``, float64.
    """

    def __init__(
        self,
        scene: LinearScene,
        pixels: Pixels,
        bounds: Bounds,
        images: Tensor,
        weight: Tensor,
        *,
        priors: Priors | None = None,
        owner: Tensor | None = None,
        marginal: bool = False,
        rounds: int = 1,
    ) -> None:
        self.scene, self.pixels, self.bounds = scene, pixels, bounds
        self.images, self.weight = images, weight
        device = images.device
        self.owner = torch.arange(len(images), device=device) if owner is None else owner
        if priors is None:
            flat = images.new_zeros(len(self.owner), len(scene.names))
            priors = Priors(scene.names, flat, flat + math.inf)
        self.priors = priors
        self._usual = choose_strength(weight, pixels)
        self.strength = self._usual[self.owner]
        most = _ELEMENTS.get(device.type, _ELEMENTS_ELSEWHERE)
        size = (scene.count + len(scene.names)) * images.shape[-1] * images.shape[-2]
        self.chunk = max(1, most // size)
        self._roughness = scene.roughness.to(device)
        self._positive = scene.positive.to(device)
        self._regularised = scene.regularised.to(device)
        noise = measure_noise(weight, pixels)
        #: Inverse variance ``(B, K)`` of amplitudes that follow the noise.
        self._precision = (noise[:, None] * scene.scatter.to(device)).square().reciprocal()
        fixed = dict(zip(scene.names, bounds.held.tolist(), strict=True))
        self._light_held = bool(scene.lights) and all(fixed[name] for name in scene.light_names)
        self._kept_light: Tensor | None = None
        self._has_free = bool((~scene.positive).any())
        self.marginal, self.rounds = marginal, rounds
        self._shift = _MOST_SHIFT * 0.5 * pixels.pixel_scale * min(pixels.shape)

    def equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the objective, its normal matrix and its downhill gradient, float64."""
        return self._gather(self._equations, z, index)

    def adapt(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take the strength of the regularisation that the evidence prefers; then the equations.

        See :meth:`measure` and :meth:`equations`.
        """
        return self._gather(self._adapt, z, index)

    def _gather(
        self, compute: Callable[[Tensor, Tensor], tuple[Tensor, ...]], z: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        found = map_chunks(compute, parts)
        objective, normal, gradient = (torch.cat(part) for part in zip(*found, strict=True))
        return objective, normal, gradient

    def _equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        params, slope = self.bounds.forward(z, index)
        return self._linearise(self._columns(params, index), params, slope, index)

    def _adapt(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        params, slope = self.bounds.forward(z, index)
        columns = self._columns(params, index)
        if bool(self._regularised.any()):
            for _ in range(self.rounds):
                measured = self._measure_columns(columns, params, index)
                self.strength[index] = measured["evidence_strength"]
        return self._linearise(columns, params, slope, index)

    def _linearise(
        self, columns: Columns, params: Tensor, slope: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        solution = self._solve(columns, index)
        residual = columns.data - columns.combine(solution.amplitudes)
        maps = self._jacobian(columns, solution)
        overlap = columns.project(maps) * slope.double()[:, :, None]
        rows = torch.cat([residual[:, None], maps], 1).flatten(2)
        scale = torch.cat([torch.ones_like(slope[:, :1]), slope], 1).double()
        squares = gram(rows) * scale[:, :, None] * scale[:, None]
        absorbed = product(overlap * solution.active[:, None], solution.solve(overlap.mT))
        normal, gradient = squares[:, 1:, 1:] - absorbed, squares[:, 0, 1:]
        objective = squares[:, 0, 0] + self._penalty(solution, index)
        objective = objective + self.priors.penalty(params, index)
        gradient = gradient + self.priors.pull(params, index) * slope
        normal = normal + torch.diag_embed(self.priors.precision(index) * slope.double() ** 2)
        if self.marginal and self._has_free:
            occam = Occam.measure(columns, solution, self._positive)
            objective = objective + occam.log_det
            gradient = gradient - self._stack(occam.differentiate(), slope) * slope
        return objective, normal, gradient

    def marginalised(self) -> LinearProblem:
        """The same problem with the marginal posterior as its objective."""
        problem = copy.copy(self)
        problem.marginal = True
        return problem

    def energy(self, z: Tensor, index: Tensor) -> Tensor:
        """Compute minus the log posterior ``(b,)``, amplitudes of either sign marginalised."""
        return -self.measure(z, index)["log_posterior"]

    def measure(self, z: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Compute what else follows from the amplitudes, ``(rows,)`` each, float64, by name.

        ``chi2``; ``effective``, the effective number of amplitudes; ``log_posterior``, marginalised
        over the amplitudes that may be negative, up to a constant; ``evidence_strength``, that of
        the regularisation for which the evidence is greatest if the parameters stay (MacKay 1992,
        Neural Computation 4, 415, eq. 4.9); and ``amplitudes`` ``(rows, K)``.
        """
        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        found = map_chunks(self._measure, parts)
        return {name: torch.cat([part[name] for part in found]) for name in found[0]}

    def _measure(self, z: Tensor, index: Tensor) -> dict[str, Tensor]:
        params, _ = self.bounds.forward(z, index)
        return self._measure_columns(self._columns(params, index), params, index)

    def _measure_columns(
        self, columns: Columns, params: Tensor, index: Tensor
    ) -> dict[str, Tensor]:
        solution = self._solve(columns, index)
        residual = columns.data - columns.combine(solution.amplitudes)
        chi2, penalty = residual.square().sum((1, 2)), self._penalty(solution, index)
        strength, count = self.strength[index], self._regularised.sum()
        inverse = torch.cholesky_inverse(solution.factor)
        inverse = inverse * (solution.active[:, :, None] & solution.active[:, None])
        shrunk = strength * (inverse * self._roughness).sum((1, 2))
        own = self._precision[self.owner[index]]
        narrowed = (inverse.diagonal(dim1=1, dim2=2) * own).sum(1)
        rough = self._measure_roughness(solution)
        log_det = Occam.measure(columns, solution, self._positive).log_det
        log_posterior = -0.5 * (chi2 + penalty + log_det) + 0.5 * count * torch.log(strength)
        log_posterior = log_posterior + 0.5 * self.scene.log_roughness
        log_posterior = log_posterior - 0.5 * self.priors.penalty(params, index)
        measured = (count - shrunk).clamp_min(1.0)
        usual = self._usual[self.owner[index]]
        return {
            "chi2": chi2,
            "effective": solution.active.sum(1) - shrunk - narrowed,
            "log_posterior": log_posterior,
            "evidence_strength": (measured / rough.clamp_min(1e-300)).clamp(
                usual / _FURTHEST, usual * _FURTHEST
            ),
            "amplitudes": solution.amplitudes,
        }

    def shorten(self, z: Tensor, step: Tensor, index: Tensor) -> Tensor:
        """Scale a step so that no parameter changes by more than the equations hold for."""
        params, slope = self.bounds.forward(z, index)
        longest = torch.full_like(params, _MOST_NUMBER)
        for k, name in enumerate(self.scene.names):
            if self.scene.ranges[name].log:
                longest[:, k] = _MOST_RATIO * params[:, k]
            elif self.scene.ranges[name].unit == "half field":
                longest[:, k] = self._shift
        change = (step * slope).abs()
        return step * (longest / change.clamp_min(1e-30)).amin(1, keepdim=True).clamp_max(1.0)

    def linearise(self, z: Tensor, index: Tensor) -> Linearisation:
        """Expand the model to first order."""
        params, _ = self.bounds.forward(z, index)
        columns = self._columns(params, index)
        solution = self._solve(columns, index)
        rows = self._jacobian(columns, solution)
        by_amplitude = columns.list_all() * solution.active[..., None, None]
        jacobian = torch.cat([rows, by_amplitude], 1)
        count = z.shape[1]
        precision = jacobian.new_zeros(len(z), count + self.scene.count, count + self.scene.count)
        own = self.priors.precision(index) * ~self.bounds.held
        precision[:, :count, :count] = torch.diag_embed(own)
        both = solution.active[:, :, None] & solution.active[:, None]
        rough = self.strength[index][:, None, None] * self._roughness * both
        own = self._precision[self.owner[index]] * solution.active
        precision[:, count:, count:] = rough + torch.diag_embed(own)
        dtype = self.images.dtype
        return Linearisation(
            jacobian=jacobian.to(dtype),
            precision=precision.to(dtype),
            residual=(columns.data - columns.combine(solution.amplitudes)).to(dtype),
            slopes=columns.find_slopes(solution.amplitudes.to(dtype)),
        )

    def model(
        self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Best model and its amplitudes, differentiable in all but the index."""
        params, _ = self.bounds.forward(z, index)
        columns = self._columns(params, index, images, weight)
        amplitudes = self._solve(columns, index).amplitudes
        return sum(self.draw(z, index, amplitudes).values(), torch.zeros_like(images)), amplitudes

    def draw(self, z: Tensor, index: Tensor, amplitudes: Tensor) -> dict[str, Tensor]:
        """Blurred images ``(b, ny, nx)`` of ``source``, ``lens_light`` and ``sky``."""
        params, _ = self.bounds.forward(z, index)
        values = {**self.scene.named(params), **self.scene.split(amplitudes.to(z.dtype))}
        own = self.owner[index]
        return self.scene.take(own).parts(values, self.pixels.take(own))

    def split_light(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(b, ny, nx)`` of the lens light, and of the lensed source."""
        parts = self.draw(z, index, self.measure(z, index)["amplitudes"])
        return parts["lens_light"], parts["source"]

    def gradient(self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Half the downhill gradient of the objective in ``z``, differentiable."""
        params, slope = self.bounds.forward(z, index)
        columns = self._columns(params, index, images, weight)
        solution = self._solve(columns, index)
        residual = columns.data - columns.combine(solution.amplitudes)
        maps = self._jacobian(columns, solution)
        gradient = (maps * residual[:, None]).sum((2, 3)) + self.priors.pull(params, index)
        if self.marginal and self._has_free:
            occam = Occam.measure(columns, solution, self._positive)
            gradient = gradient - self._stack(occam.differentiate(), slope)
        return gradient.to(z.dtype) * slope

    # One step of the computation each.

    def _columns(
        self,
        params: Tensor,
        index: Tensor,
        images: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Columns:
        own = self.owner[index]
        named, pixels = self.scene.named(params), self.pixels.take(own)
        images = self.images[own] if images is None else images
        weight = self.weight[own] if weight is None else weight
        parts = self.scene.take(own).evaluate(named, pixels, light=not self._light_held)
        kept = self._find_kept_light()[own] if self._light_held else None
        area = self.pixels.pixel_scale**2
        return Columns.collect(parts, images, weight, area, kept)

    def _find_kept_light(self) -> Tensor:
        """Blurred columns of the light of every image, where its shape is fixed."""
        if self._kept_light is None:
            rows = torch.arange(len(self.images), device=self.images.device)
            z = torch.zeros(len(rows), len(self.scene.names), dtype=self.images.dtype)
            # Any row will do for an image that has none: its columns are not looked at.
            first = torch.stack([(self.owner == row).int().argmax() for row in rows])
            params, _ = self.bounds.forward(z.to(rows.device), first)
            maps = self.scene.evaluate_light(self.scene.named(params), self.pixels)
            light = Part(maps, self.pixels, Window.whole(self.pixels.shape), {})
            self._kept_light = self.pixels.blur(light.join(len(rows)))
        return self._kept_light

    def _solve(self, columns: Columns, index: Tensor) -> Solution:
        return solve_amplitudes(
            columns.normal,
            columns.projection,
            self.strength[index],
            self._roughness,
            self._precision[self.owner[index]],
            self._positive,
        )

    def _measure_roughness(self, solution: Solution) -> Tensor:
        c = solution.amplitudes
        return (product(c, self._roughness) * c).sum(1)

    def _penalty(self, solution: Solution, index: Tensor) -> Tensor:
        own = self._precision[self.owner[index]] * solution.amplitudes.square()
        return solution.strength * self._measure_roughness(solution) + own.sum(1)

    def _jacobian(self, columns: Columns, solution: Solution) -> Tensor:
        """Derivative of the model over sigma by every parameter, ``(b, P, ny, nx)``, float64."""
        live = torch.nonzero(~self.bounds.held)[:, 0]
        amplitudes = solution.amplitudes.to(self.images.dtype)
        names = [self.scene.names[k] for k in live.tolist()]
        rows = columns.differentiate(amplitudes, names)
        if len(names) == len(self.scene.names):
            return rows
        size = len(rows), len(self.scene.names), *rows.shape[2:]
        return rows.new_zeros(size).index_copy(1, live, rows)

    def _stack(self, found: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """Values ``(b,)`` by name in the order of the parameters, ``(b, P)``, float64.

        0 for those that are fixed, and those that change nothing.
        """
        zero = torch.zeros_like(like[:, 0])
        return (
            torch.stack([found.get(name, zero) for name in self.scene.names], 1).double()
            * ~self.bounds.held
        )


def measure_noise(weight: Tensor, pixels: Pixels) -> Tensor:
    """Measure the median noise of images, ``(B,)``, flux per arcsec^2, float64."""
    sigma = torch.where(weight > 0, 1 / weight.clamp_min(1e-30), math.nan)
    return sigma.flatten(1).nanmedian(1).values.double() / pixels.pixel_scale**2


def choose_strength(weight: Tensor, pixels: Pixels) -> Tensor:
    """Choose the strength of the regularisation of images, ``(B,)``, before any evidence."""
    return _STRENGTH * measure_noise(weight, pixels).square().reciprocal()
