"""Variable projection: the objective of a fit whose amplitudes are solved for at every step."""

from __future__ import annotations

import copy
import dataclasses
import math

import torch
from torch import Tensor

from lensphys.fitting.bounds import Bounds
from lensphys.fitting.linear.amplitudes import Solution, solve_amplitudes
from lensphys.fitting.linear.components import Maps, Slopes
from lensphys.fitting.linear.scene import LinearScene
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import Linearisation
from lensphys.products import product
from lensphys.rendering import Pixels
from lensphys.threads import map_chunks

#: Elements of the maps that are evaluated at once; on a CPU they then stay in its cache.
_ELEMENTS = {"cpu": 1 << 20}
_ELEMENTS_ELSEWHERE = 1 << 27
#: Largest change in one step: of positions, in half fields, of what has no unit, and, relative, of
#: what varies in logarithm.
_MOST_SHIFT, _MOST_NUMBER, _MOST_RATIO = 0.03, 0.12, 0.2
#: Strength of the regularisation at first, in units of the noise to the power of -2, and how many
#: times stronger or weaker it may become.
_STRENGTH, _FURTHEST = 1e-3, 1e12


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Model of some images: its columns, over sigma, and what derivatives need.

    ``columns`` are ``(b, K, pixels)``, ``data`` ``(b, pixels)``, both float64.
    """

    columns: Tensor
    data: Tensor
    maps: list[Maps]
    by_mass: dict[str, tuple[Tensor, Tensor]]
    normal: Tensor
    projection: Tensor

    def contract(self, amplitudes: Tensor) -> Slopes:
        """Slopes of the light of all components, of amplitudes ``(b, K)``."""
        parts = zip(self.maps, self._split(amplitudes), strict=True)
        return _add([maps.contract(own) for maps, own in parts])

    def weigh(self, rays: Tensor) -> Slopes:
        """The same of maps ``(b, K, ny, nx)`` in place of the amplitudes."""
        parts = zip(self.maps, self._split(rays), strict=True)
        return _add([maps.weigh(own) for maps, own in parts])

    def follow(self, slopes: Slopes) -> dict[str, Tensor]:
        """Derivatives by all parameters, of the deflectors too."""
        along, found = slopes
        if along is None:
            return found
        # Light that is deflected more comes from a place before.
        by_mass = self.by_mass.items()
        return found | {name: -(along[0] * d_x + along[1] * d_y) for name, (d_x, d_y) in by_mass}

    def _split(self, values: Tensor) -> list[Tensor]:
        """Values of each component; those of light that is kept are left out."""
        counts = [maps.basis.shape[1] for maps in self.maps]
        return list(values[:, : sum(counts)].split(counts, 1))


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
        self.marginal = marginal
        self._shift = _MOST_SHIFT * 0.5 * pixels.pixel_scale * min(pixels.shape)

    def equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the objective, its normal matrix and its downhill gradient, float64."""
        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        found = map_chunks(self._equations, parts)
        objective, normal, gradient = (torch.cat(part) for part in zip(*found, strict=True))
        return objective, normal, gradient

    def _equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        params, slope = self.bounds.forward(z, index)
        columns = self._columns(params, index)
        solution = self._solve(columns, index)
        residual = self._residual(columns, solution)
        rows = self._jacobian(columns, solution, index) * slope.double()[:, :, None]
        overlap = product(columns.columns, rows.mT)
        normal = product(rows, rows.mT) - product(
            (overlap * solution.active[..., None]).mT, solution.solve(overlap)
        )
        gradient = product(rows, residual[..., None])[..., 0]
        objective = residual.square().sum(1) + self._penalty(solution, index)
        objective = objective + self.priors.penalty(params, index)
        gradient = gradient + self.priors.pull(params, index) * slope
        normal = normal + torch.diag_embed(self.priors.precision(index) * slope.double() ** 2)
        if self.marginal and self._has_free:
            objective = objective + self._measure_occam(columns, solution)[0]
            gradient = gradient - self._differentiate_occam(columns, solution, index) * slope
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
        columns = self._columns(params, index)
        solution = self._solve(columns, index)
        residual = self._residual(columns, solution)
        chi2, penalty = residual.square().sum(1), self._penalty(solution, index)
        strength, count = self.strength[index], self._regularised.sum()
        inverse = torch.cholesky_inverse(solution.factor)
        inverse = inverse * (solution.active[:, :, None] & solution.active[:, None])
        shrunk = strength * (inverse * self._roughness).sum((1, 2))
        own = self._precision[self.owner[index]]
        narrowed = (inverse.diagonal(dim1=1, dim2=2) * own).sum(1)
        rough = self._measure_roughness(solution)
        log_det, _ = self._measure_occam(columns, solution)
        log_posterior = -0.5 * (chi2 + penalty + log_det) + 0.5 * count * torch.log(strength)
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
        residual = self._residual(columns, solution)
        rows = self._jacobian(columns, solution, index)
        size = self.images.shape[-2:]
        by_amplitude = columns.columns * solution.active[..., None]
        jacobian = torch.cat([rows, by_amplitude], 1).unflatten(2, size)
        count = z.shape[1]
        precision = jacobian.new_zeros(len(z), count + self.scene.count, count + self.scene.count)
        own = self.priors.precision(index) * ~self.bounds.held
        precision[:, :count, :count] = torch.diag_embed(own)
        both = solution.active[:, :, None] & solution.active[:, None]
        rough = self.strength[index][:, None, None] * self._roughness * both
        own = self._precision[self.owner[index]] * solution.active
        precision[:, count:, count:] = rough + torch.diag_embed(own)
        along_x, along_y = self._source_slopes(columns, solution)
        dtype = self.images.dtype
        return Linearisation(
            jacobian=jacobian.to(dtype),
            precision=precision.to(dtype),
            residual=residual.unflatten(1, size).to(dtype),
            slopes=torch.stack([along_x, along_y], 1),
        )

    def model(
        self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Best model and its amplitudes, differentiable in all but the index."""
        params, _ = self.bounds.forward(z, index)
        columns = self._columns(params, index, images, weight)
        solution = self._solve(columns, index)
        values = {**self.scene.named(params), **self.scene.split(solution.amplitudes.to(z.dtype))}
        own = self.owner[index]
        parts = self.scene.take(own).parts(values, self.pixels.take(own))
        return sum(parts.values(), start=torch.zeros_like(images)), solution.amplitudes

    def split_light(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images ``(b, ny, nx)`` of the lens light, and of the lensed source."""
        params, _ = self.bounds.forward(z, index)
        amplitudes = self.measure(z, index)["amplitudes"].to(z.dtype)
        values = {**self.scene.named(params), **self.scene.split(amplitudes)}
        own = self.owner[index]
        parts = self.scene.take(own).parts(values, self.pixels.take(own))
        return parts["lens_light"], parts["source"]

    def gradient(self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Half the downhill gradient of the objective in ``z``, differentiable."""
        params, slope = self.bounds.forward(z, index)
        columns = self._columns(params, index, images, weight)
        solution = self._solve(columns, index)
        residual = self._residual(columns, solution)
        rows = self._jacobian(columns, solution, index, weight)
        gradient = product(rows, residual[..., None])[..., 0] + self.priors.pull(params, index)
        if self.marginal and self._has_free:
            gradient = gradient - self._differentiate_occam(columns, solution, index, weight)
        return gradient.to(z.dtype) * slope

    # One step of the computation each.

    def _columns(
        self,
        params: Tensor,
        index: Tensor,
        images: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> _Columns:
        own = self.owner[index]
        pixels = self.pixels.take(own)
        named = self.scene.named(params)
        images = self.images[own] if images is None else images
        weight = self.weight[own] if weight is None else weight
        scene = self.scene.take(own)
        maps, by_mass = scene.evaluate(named, pixels, light=not self._light_held)
        blurred = pixels.collect(_join([part.basis for part in maps], len(params)))
        if self._light_held:
            blurred = torch.cat([blurred, self._find_kept_light()[own]], 1)
        columns = (blurred * weight[:, None]).flatten(2).double()
        data = (images * weight).flatten(1).double()
        normal = product(columns, columns.mT)
        projection = product(columns, data[..., None])[..., 0]
        return _Columns(columns, data, maps, by_mass, normal, projection)

    def _find_kept_light(self) -> Tensor:
        """Blurred columns of the light of every image, where its shape is fixed."""
        if self._kept_light is None:
            rows = torch.arange(len(self.images), device=self.images.device)
            z = torch.zeros(len(rows), len(self.scene.names), dtype=self.images.dtype)
            first = torch.stack([torch.nonzero(self.owner == row)[0, 0] for row in rows])
            params, _ = self.bounds.forward(z.to(rows.device), first)
            maps = self.scene.evaluate_light(self.scene.named(params), self.pixels)
            basis = _join([part.basis for part in maps], len(rows))
            self._kept_light = self.pixels.collect(basis)
        return self._kept_light

    def _solve(self, columns: _Columns, index: Tensor) -> Solution:
        return solve_amplitudes(
            columns.normal,
            columns.projection,
            self.strength[index],
            self._roughness,
            self._precision[self.owner[index]],
            self._positive,
        )

    def _residual(self, columns: _Columns, solution: Solution) -> Tensor:
        model = product(solution.amplitudes[:, None], columns.columns)[:, 0]
        return columns.data - model

    def _measure_roughness(self, solution: Solution) -> Tensor:
        c = solution.amplitudes
        return (product(c, self._roughness) * c).sum(1)

    def _penalty(self, solution: Solution, index: Tensor) -> Tensor:
        own = self._precision[self.owner[index]] * solution.amplitudes.square()
        return solution.strength * self._measure_roughness(solution) + own.sum(1)

    def _jacobian(
        self,
        columns: _Columns,
        solution: Solution,
        index: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """Derivative of the model over sigma by every parameter, ``(b, P, pixels)``, float64."""
        own = self.owner[index]
        weight = self.weight[own] if weight is None else weight
        amplitudes = solution.amplitudes.to(self.images.dtype)
        found = columns.follow(columns.contract(amplitudes))
        x = self.pixels.x
        zero = x.new_zeros(len(index), *x.shape[-2:])
        held = self.bounds.held.tolist()
        live = [k for k, fixed in enumerate(held) if not fixed]
        rows = x.new_zeros(len(index), len(held), *self.images.shape[-2:])
        if live:
            names = self.scene.names
            stack = torch.stack([found.get(names[k], zero) for k in live], 1)
            blurred = self.pixels.take(own).collect(stack) * weight[:, None]
            rows = rows.index_copy(1, torch.tensor(live, device=rows.device), blurred)
        return rows.flatten(2).double()

    def _measure_occam(self, columns: _Columns, solution: Solution) -> tuple[Tensor, Tensor]:
        """Log determinant ``(b,)`` of the amplitudes of either sign, given the others.

        Also returns the factor ``(b, K, K)`` of the matrix of the positive amplitudes alone.
        """
        held = solution.active & self._positive
        both = held[:, :, None] & held[:, None]
        alone = torch.where(both, columns.normal, torch.diag_embed((~held).double()))
        ridge = torch.diag_embed(1e-9 * alone.diagonal(dim1=1, dim2=2))
        factor = torch.linalg.cholesky(alone + ridge)
        log_det = 2 * torch.log(solution.factor.diagonal(dim1=1, dim2=2)).sum(1)
        return log_det - 2 * torch.log(factor.diagonal(dim1=1, dim2=2)).sum(1), factor

    def _differentiate_occam(
        self, columns: _Columns, solution: Solution, index: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Half the derivative of that log determinant by every parameter, ``(b, P)``, float64.

        ``1/2 d log det(A^T A + R) = tr((A^T A + R)^-1 A^T dA)``: the columns are brought back to
        the rays first, so that one sum over the basis serves all parameters.
        """
        own = self.owner[index]
        weight = self.weight[own] if weight is None else weight
        active = solution.active[..., None]
        dual = torch.cholesky_solve(columns.columns * active, solution.factor)
        held = solution.active & self._positive
        if bool(held.any()):
            _, factor = self._measure_occam(columns, solution)
            dual = dual - torch.cholesky_solve(columns.columns * held[..., None], factor)
        dual = (dual * active).to(weight.dtype).unflatten(2, weight.shape[-2:])
        count = sum(part.basis.shape[1] for part in columns.maps)
        rays = self.pixels.take(own).spread(dual[:, :count] * weight[:, None])
        found = columns.follow(columns.weigh(rays))
        zero = weight.new_zeros(len(index))
        names = self.scene.names
        sums = [found[name].sum((-2, -1)) if name in found else zero for name in names]
        return torch.stack(sums, 1).double() * ~self.bounds.held

    def _source_slopes(self, columns: _Columns, solution: Solution) -> tuple[Tensor, Tensor]:
        slopes, _ = columns.contract(solution.amplitudes.to(self.images.dtype))
        assert slopes is not None
        return slopes


def measure_noise(weight: Tensor, pixels: Pixels) -> Tensor:
    """Measure the median noise of images, ``(B,)``, flux per arcsec^2, float64."""
    sigma = torch.where(weight > 0, 1 / weight.clamp_min(1e-30), math.nan)
    return sigma.flatten(1).nanmedian(1).values.double() / pixels.pixel_scale**2


def choose_strength(weight: Tensor, pixels: Pixels) -> Tensor:
    """Choose the strength of the regularisation of images, ``(B,)``, before any evidence."""
    return _STRENGTH * measure_noise(weight, pixels).square().reciprocal()


def _add(parts: list[Slopes]) -> Slopes:
    """Slopes of the light of several components together."""
    along: tuple[Tensor, Tensor] | None = None
    found: dict[str, Tensor] = {}
    for slope, by_name in parts:
        found |= by_name
        if slope is not None:
            along = slope if along is None else (along[0] + slope[0], along[1] + slope[1])
    return along, found


def _join(basis: list[Tensor], batch: int) -> Tensor:
    return torch.cat([maps.expand(batch, -1, -1, -1) for maps in basis], 1)
