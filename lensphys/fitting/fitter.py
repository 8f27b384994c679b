"""Lens modelling as a layer: images in, lens and source parameters with errors out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lensphys.arrays import in_precision, take_numbers
from lensphys.fitting.bounds import EDGE, Bounds
from lensphys.fitting.scene import LensScene
from lensphys.fitting.templates import Templates, starting_values
from lensphys.grid import pixel_grid
from lensphys.lens import ThinLens
from lensphys.light.sersic import Sersic
from lensphys.parameters import Parameter, check_width, read_parameter
from lensphys.products import product
from lensphys.psf import PSF
from lensphys.rendering import Pixels
from lensphys.threads import map_chunks, side_by_side

#: Images evaluated at once; their derivatives then stay in the cache of a CPU.
_CHUNK = {"cpu": 16}
_CHUNK_ELSEWHERE = 512
#: Damping of the first step, relative to the diagonal of the normal matrix.
_DAMPING = 1e-2
#: Largest change of a transformed parameter in one step.
_MAX_STEP = 2.0
#: Starting points of a second round, in multiples of those tried at first.
_RETRY = 8
#: Standard deviations of chi^2 beyond which noise does not explain a fit.
_DEVIATIONS = 3
#: Steps from each starting point after which one in four is kept, until one is left.
_EXPLORE, _KEEP = 4, 4


@dataclasses.dataclass(frozen=True)
class FitResult:
    """Result of a fit, for a batch of ``B`` images and ``P`` parameters.

    Attributes:
        params, errors: by parameter name, each ``(B,)``: maximum-likelihood values, and their
            standard errors from the Fisher matrix; infinite if the data do not constrain a
            parameter, 0 if it is fixed.
        names: order of the parameters in ``covariance``.
        covariance: ``(B, P, P)``, the inverse of the Fisher matrix at the best fit.
        chi2_dof: ``(B,)``, chi^2 over the number of pixels less that of fitted parameters.
        converged: ``(B,)``, true if no step is expected to lower chi^2 by more than the tolerance:
            a minimum, perhaps a local one; ``chi2_dof`` tells if it explains the image.
        steps: ``(B,)``, evaluations of the model since the best starting point was chosen.
        model: best-fit images, ``(B, ny, nx)``.
        residual: ``(image - model) / sigma``, ``(B, ny, nx)``; 0 where a pixel is masked.
        scene: the model that was fitted.
    """

    params: dict[str, Tensor]
    errors: dict[str, Tensor]
    names: tuple[str, ...]
    covariance: Tensor
    chi2_dof: Tensor
    converged: Tensor
    steps: Tensor
    model: Tensor
    residual: Tensor
    scene: LensScene

    @property
    def lens(self) -> ThinLens:
        """Best-fit lens."""
        return self.scene.lens(self.params)

    @property
    def source(self) -> Sersic:
        """Best-fit source."""
        return self.scene.source(self.params)

    @property
    def lens_light(self) -> Sersic | None:
        """Best-fit light of the lens, or None if it was not fitted."""
        return self.scene.light(self.params)


def fit(
    images: Tensor,
    sigma: Parameter,
    *,
    pixel_scale: float,
    psf: PSF | None = None,
    mass: str = "SIE",
    lens_light: bool = False,
    supersampling: int = 1,
    start: Mapping[str, Parameter] | None = None,
    fixed: Mapping[str, Parameter] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    n_starts: int = 3,
    retry_above: float | None = None,
    max_steps: int = 50,
    tolerance: float = 1e-2,
) -> FitResult:
    """Maximum-likelihood model of every image: a deflector with shear, and a Sersic source.

    Damped Gauss-Newton steps (Levenberg 1944; Marquardt 1963; damping after Nielsen 1999) through
    the renderer and its closed-form derivatives, for the whole batch at once. ``params`` are
    differentiable with respect to ``images`` and ``sigma`` by the implicit function theorem, and
    ``model`` and ``residual`` through them; all other results are constants.

    Args:
        images: ``(B, ny, nx)``, or ``(ny, nx)`` for a batch of one; flux per pixel.
        sigma: standard deviation of the noise: a number, ``(B,)``, or maps like ``images``;
            infinite where a pixel is masked.
        pixel_scale: width of a pixel, arcsec.
        psf, supersampling: of the images; see :func:`lensphys.render`.
        mass: name of a mass profile that can be fitted, such as ``"SIE"`` or ``"EPL"``; see
            :data:`lensphys.mass.MASSES`.
        lens_light: fit a Sersic profile of the lens too, as ``lens_light_amplitude`` ...
        start: starting values by parameter name, numbers or ``(B,)``; other parameters start from
            a round lens and a round source at the centre. Without ``start`` the fit starts from
            the templates that match the image best.
        fixed: values, numbers or ``(B,)``, of parameters that are not to be fitted.
        bounds: ``name: (low, high)`` instead of the default range of a parameter; a
            transformation keeps the fit inside.
        n_starts: starting points that are tried for every image without ``start``.
        retry_above: chi^2 over the degrees of freedom above which eight times as many other
            starting points are tried; infinite for never. None tries again what noise does not
            explain, in vain if no model of the kind explains the image, as with substructure.
        max_steps: most evaluations of the model from the best starting point on, and from each of
            several while the best is sought; 0 leaves the starting point as it is.
        tolerance: a fit has converged when a step is not expected to lower chi^2 by more.

    Raises:
        ValueError: for images or noise that are not finite, wrong shapes, unknown names, too few
            pixels that are not masked, or settings out of range.
    """
    return Fitter(
        pixel_scale=pixel_scale,
        psf=psf,
        mass=mass,
        lens_light=lens_light,
        supersampling=supersampling,
        bounds=bounds,
        n_starts=n_starts,
        retry_above=retry_above,
        max_steps=max_steps,
        tolerance=tolerance,
    )(images, sigma, start=start, fixed=fixed)


class Fitter:
    """:func:`fit` for many batches of images of one kind: templates are made once.

    Args:
        pixel_scale, psf, mass, lens_light, supersampling, bounds: see :func:`fit`.
        n_starts, retry_above, max_steps, tolerance: see :func:`fit`.
    """

    def __init__(
        self,
        *,
        pixel_scale: float,
        psf: PSF | None = None,
        mass: str = "SIE",
        lens_light: bool = False,
        supersampling: int = 1,
        bounds: Mapping[str, tuple[float, float]] | None = None,
        n_starts: int = 3,
        retry_above: float | None = None,
        max_steps: int = 50,
        tolerance: float = 1e-2,
    ) -> None:
        for name, count, least in (("n_starts", n_starts, 1), ("max_steps", max_steps, 0)):
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise ValueError(f"{name} must be a whole number from {least} on, got {count!r}")
        read_parameter("tolerance", tolerance, positive=True)
        if retry_above is not None and not retry_above >= 0:
            raise ValueError(f"retry_above must not be negative, got {retry_above!r}")
        self.scene = LensScene(mass, lens_light=lens_light)
        check_width("pixel_scale", pixel_scale)
        self._pixel_scale, self._psf = float(pixel_scale), psf
        self._supersampling = supersampling
        self._bounds = dict(bounds or {})
        self._n_starts, self._retry_above = n_starts, retry_above
        self._max_steps, self._tolerance = max_steps, tolerance
        self._cached: dict[Any, tuple[Pixels, Tensor, Templates | None]] = {}

    @side_by_side()
    def __call__(
        self,
        images: Tensor,
        sigma: Parameter,
        *,
        start: Mapping[str, Parameter] | None = None,
        fixed: Mapping[str, Parameter] | None = None,
    ) -> FitResult:
        """Fit a batch of images; see :func:`fit`."""
        fixed = fixed or {}
        fitted = len(self.scene.names) - len(fixed)
        images, weight = _check_images(images, sigma, fitted)
        pixels, templates = self._prepare(images, with_templates=start is None)
        half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
        with torch.no_grad():
            peak = images.amax((-2, -1)) / pixels.pixel_scale**2
            peak = torch.where(peak > 0, peak, 1.0)
            bounds = Bounds(self.scene.ranges, half_field, peak, self._bounds, fixed)
            problem = _Problem(self.scene, pixels, bounds, images.detach(), weight.detach())
            if templates is None:
                points = starting_values(self.scene, start or {}, half_field, peak)[:, None]
                found = problem.best_of(points, self._max_steps, self._tolerance)
            else:
                points = templates.best(problem.images, problem.weight, self._n_starts)
                found = problem.best_of(points, self._max_steps, self._tolerance)
                again = self._find_poor(found, problem.degrees_of_freedom())
                if again.numel():
                    starts = _RETRY * self._n_starts
                    problem.retry(found, again, templates, starts, self._max_steps, self._tolerance)
            covariance = problem.covariance(found.z)
            converged = found.converged

        z, everything = found.z, found.index
        if torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad):
            z = _Implicit.apply(images, weight, found.z, converged, problem)
        params = self.scene.named(bounds.forward(z, everything)[0])
        model = problem.model(params)
        residual = (images - model) * weight
        dof = problem.degrees_of_freedom()
        errors = covariance.diagonal(dim1=1, dim2=2).sqrt()
        return FitResult(
            params=params,
            errors=self.scene.named(errors),
            names=self.scene.names,
            covariance=covariance,
            chi2_dof=(found.chi2 / dof).to(images.dtype),
            converged=converged,
            steps=found.steps,
            model=model,
            residual=residual,
            scene=self.scene,
        )

    def _find_poor(self, found: _State, dof: Tensor) -> Tensor:
        """Find the fits that are to be tried again."""
        if self._retry_above is None:
            limit = dof + _DEVIATIONS * torch.sqrt(2.0 * dof)
        else:
            limit = self._retry_above * dof
        return torch.nonzero(~(found.chi2 <= limit))[:, 0]

    def _prepare(self, images: Tensor, *, with_templates: bool) -> tuple[Pixels, Templates | None]:
        """Return pixels and templates for images of this shape, precision and device."""
        ny, nx = images.shape[-2:]
        key = (ny, nx, images.dtype, images.device)
        pixels, spread, templates = self._cached.get(key, (None, None, None))
        # Later calls may differentiate, also if this one does not.
        with torch.inference_mode(False), torch.no_grad():
            if pixels is None:
                dtype, device = images.dtype, images.device
                x, y = pixel_grid((ny, nx), self._pixel_scale, dtype=dtype, device=device)
                pixels = Pixels(x, y, psf=self._psf, supersampling=self._supersampling)
            # A PSF may change, such as one whose width is a tensor, and templates are blurred.
            now = pixels.collect(_point_source(pixels.x))
            if spread is not None and not torch.equal(now, spread):
                templates = None
            if with_templates and templates is None:
                templates = Templates(self.scene, pixels)
        self._cached[key] = pixels, now, templates
        return pixels, templates if with_templates else None


def _point_source(like: Tensor) -> Tensor:
    """Brightness of a point source in the middle of a map."""
    ny, nx = like.shape[-2:]
    brightness = torch.zeros_like(like)
    brightness[ny // 2, nx // 2] = 1.0
    return brightness


def _check_images(images: Tensor, sigma: Parameter, parameters: int) -> tuple[Tensor, Tensor]:
    """Return images ``(B, ny, nx)``, and ``1 / sigma`` of every pixel."""
    images = in_precision("images", images)
    if images.ndim not in (2, 3) or not images.numel():
        raise ValueError(f"images must be (B, ny, nx) or (ny, nx), got {tuple(images.shape)}")
    images = images.reshape(-1, *images.shape[-2:])
    number, *size = images.shape
    sigma = torch.as_tensor(take_numbers("sigma", sigma), dtype=images.dtype, device=images.device)
    if tuple(sigma.shape) not in {(), (1,), (number,), (*size,), (1, *size), (number, *size)}:
        raise ValueError(
            f"sigma must be a number, ({number},) or a map of shape {tuple(images.shape)}, "
            f"got {tuple(sigma.shape)}"
        )
    sigma = (sigma[:, None, None] if sigma.ndim == 1 else sigma).expand(images.shape)
    broken = int((~torch.isfinite(images) & torch.isfinite(sigma)).sum())
    if broken:
        raise ValueError(
            f"images hold {broken} pixels that are not finite; mask them by an infinite sigma"
        )
    if not bool((sigma > 0).all()):
        raise ValueError("sigma must be positive (infinite where a pixel is masked)")
    masked = torch.isinf(sigma)
    fewest = int((~masked).sum((-2, -1)).min())
    if fewest <= parameters:
        raise ValueError(
            f"an image has {fewest} pixels that are not masked, too few for {parameters} parameters"
        )
    # A masked pixel may hold anything: 0 times it must be 0.
    return torch.where(masked, 0.0, images), torch.where(masked, 0.0, 1 / sigma)


@dataclasses.dataclass
class _State:
    """Fits in progress; ``index`` is the image that each belongs to."""

    index: Tensor
    z: Tensor
    chi2: Tensor
    normal: Tensor
    gradient: Tensor
    damping: Tensor
    growth: Tensor
    converged: Tensor
    steps: Tensor

    def take(self, which: Tensor) -> _State:
        return _State(*(getattr(self, f.name)[which] for f in dataclasses.fields(self)))

    def put(self, which: Tensor, part: _State) -> None:
        for f in dataclasses.fields(self):
            getattr(self, f.name)[which] = getattr(part, f.name)


class _Problem:
    """Weighted residuals of a batch of images, as a function of transformed parameters."""

    def __init__(
        self, scene: LensScene, pixels: Pixels, bounds: Bounds, images: Tensor, weight: Tensor
    ) -> None:
        self.scene, self.pixels, self.bounds = scene, pixels, bounds
        self.images, self.weight = images, weight
        self.chunk = _CHUNK.get(images.device.type, _CHUNK_ELSEWHERE)

    def degrees_of_freedom(self) -> Tensor:
        """Number of pixels less that of fitted parameters, ``(B,)``."""
        return (self.weight > 0).sum((-2, -1)) - (~self.bounds.held).sum()

    def equations(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``chi^2``, the normal matrix and the downhill gradient in ``z``, float64."""
        parts = zip(z.split(self.chunk), index.split(self.chunk), strict=True)
        gram = torch.cat(map_chunks(self._gram, parts))
        return gram[:, 0, 0], gram[:, 1:, 1:], gram[:, 0, 1:]

    def _gram(self, z: Tensor, index: Tensor) -> Tensor:
        params, slope = self.bounds.forward(z, index)
        maps = self.scene.image_and_jacobian(self.scene.named(params), self.pixels)
        maps[:, 0] = self.images[index] - maps[:, 0]
        maps = maps.mul_(self.weight[index, None]).flatten(2)
        slope = torch.cat([torch.ones_like(slope[:, :1]), slope], 1).double()
        return product(maps, maps.mT).double() * slope[:, :, None] * slope[:, None]

    def model(self, params: dict[str, Tensor]) -> Tensor:
        """Images of parameters by name."""
        table = torch.stack(list(params.values()), -1)
        chunks = ((self.scene.named(part), self.pixels) for part in table.split(self.chunk))
        return torch.cat(map_chunks(self.scene.image, chunks))

    def gradient(self, z: Tensor, index: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Half the downhill gradient of ``chi^2`` in ``z``, differentiable in all but the index."""
        params, slope = self.bounds.forward(z, index)
        maps = self.scene.image_and_jacobian(self.scene.named(params), self.pixels)
        pull = (images - maps[:, 0]) * weight * weight
        return slope * (maps[:, 1:] * pull[:, None]).sum((-2, -1))

    def covariance(self, z: Tensor) -> Tensor:
        """Inverse of the Fisher matrix, ``(B, P, P)``; infinite if there is none."""
        index = torch.arange(len(z), device=z.device)
        slope = self.bounds.forward(z, index)[1].double()
        _, normal, _ = self.equations(z, index)
        normal = normal + torch.diag(self.bounds.held.double())  # slope removes it again
        # To unit diagonal first: units of the parameters differ by many orders of magnitude.
        scale = normal.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
        factor, info = torch.linalg.cholesky_ex(normal * scale[:, :, None] * scale[:, None])
        identity = torch.eye(z.shape[1], dtype=torch.float64, device=z.device)
        factor = torch.where((info == 0)[:, None, None], factor, identity)
        inverse = torch.cholesky_inverse(factor) * scale[:, :, None] * scale[:, None]
        inverse = torch.where((info == 0)[:, None, None], inverse, identity * math.inf).nan_to_num(
            nan=0.0, posinf=math.inf
        )
        held = self.bounds.held[:, None] | self.bounds.held
        inverse = torch.where(held, 0.0, inverse)  # infinite, it would stay so
        return (inverse * slope[:, :, None] * slope[:, None]).to(z.dtype)

    def retry(
        self,
        found: _State,
        which: Tensor,
        templates: Templates,
        starts: int,
        max_steps: int,
        tolerance: float,
    ) -> None:
        """Improve some of the fits, if that is possible from other templates."""
        points = templates.best(self.images[which], self.weight[which], starts, distinct=True)
        again = self.best_of(points, max_steps, tolerance, which)
        better = again.chi2 < found.chi2[which]
        found.put(which[better], again.take(better))

    def best_of(
        self, points: Tensor, max_steps: int, tolerance: float, index: Tensor | None = None
    ) -> _State:
        """Best fit of every image, or of those in ``index``, from points ``(B, M, P)``."""
        if index is None:
            index = torch.arange(len(points), device=points.device)
        images, starts = points.shape[:2]
        each = index.repeat_interleave(starts)
        state = self.start(self.bounds.inverse(points.flatten(0, 1), each), each)
        while starts > 1:
            self.descend(state, min(_EXPLORE, max_steps), tolerance)
            kept = max(starts // _KEEP, 1)
            chi2 = state.chi2.view(images, starts).nan_to_num(math.inf)
            best = chi2.topk(kept, dim=1, largest=False).indices
            first = starts * torch.arange(images, device=points.device)
            state, starts = state.take((best + first[:, None]).flatten()), kept
        state.steps.zero_()
        self.descend(state, max_steps, tolerance)
        return state

    def start(self, z: Tensor, index: Tensor) -> _State:
        chi2, normal, gradient = self.equations(z, index)
        ones = torch.ones_like(chi2)
        return _State(
            index=index,
            z=z.clone(),
            chi2=chi2,
            normal=normal,
            gradient=gradient,
            damping=_DAMPING * ones,
            growth=2 * ones,
            converged=torch.zeros_like(index, dtype=torch.bool),
            steps=torch.ones_like(index),
        )

    def descend(self, state: _State, steps: int, tolerance: float) -> None:
        """Step the fits that have not converged, ``steps`` times at most."""
        for _ in range(steps):
            live = torch.nonzero(~state.converged)[:, 0]
            if not live.numel():
                return
            part = state.take(live)
            self._step(part, tolerance)
            state.put(live, part)

    def _step(self, s: _State, tolerance: float) -> None:
        scale = s.normal.diagonal(dim1=1, dim2=2)
        scale = scale.clamp_min(1e-12 * scale.amax(1, keepdim=True))
        damped = s.normal + torch.diag_embed(s.damping[:, None] * scale)
        step = _solve_free(damped, s.gradient, self.bounds.free(s.z, s.gradient)).clamp(
            -_MAX_STEP, _MAX_STEP
        )
        z = (s.z + step.to(s.z.dtype)).clamp(-EDGE, EDGE)
        step = (z - s.z).double()
        expected = (step * (2 * s.gradient - product(s.normal, step[..., None])[..., 0])).sum(1)
        chi2, normal, gradient = self.equations(z, s.index)

        # Below its own rounding a rise of chi^2 is none.
        accepted = chi2 <= s.chi2 * (1 + 16 * torch.finfo(s.z.dtype).eps)
        gain = (s.chi2 - chi2) / expected.clamp_min(1e-300)
        eased = s.damping * (1 - (2 * gain - 1) ** 3).clamp(0.1, 1)
        s.damping = torch.where(accepted, eased, s.damping * s.growth).clamp(1e-9, 1e12)
        s.growth = torch.where(accepted, 2.0, 2 * s.growth)
        s.z = torch.where(accepted[:, None], z, s.z)
        s.chi2 = torch.where(accepted, chi2, s.chi2)
        s.normal = torch.where(accepted[:, None, None], normal, s.normal)
        s.gradient = torch.where(accepted[:, None], gradient, s.gradient)
        s.steps = s.steps + 1
        undamped = s.normal + torch.diag_embed(1e-9 * scale)
        newton = _solve_free(undamped, s.gradient, self.bounds.free(s.z, s.gradient))
        s.converged = s.chi2.isfinite() & ((newton * s.gradient).sum(1) < tolerance)


def _solve_free(matrix: Tensor, vector: Tensor, may: Tensor) -> Tensor:
    """Solve for the parameters that may change; 0 for the others."""
    both = may[:, :, None] & may[:, None]
    return _solve(torch.where(both, matrix, torch.diag_embed((~may).to(matrix))), vector * may)


def _solve(matrix: Tensor, vector: Tensor) -> Tensor:
    """Solve every system of a batch; 0 for a singular one."""
    solution, info = torch.linalg.solve_ex(matrix, vector)
    return torch.where((info == 0)[:, None], solution, 0.0).nan_to_num(0.0, 0.0, 0.0)


class _Implicit(torch.autograd.Function):
    """Fit as a function of the images: the implicit function theorem on its gradient.

    At the best fit ``g(z, images, weight) = 0``, so ``dz = -(dg/dz)^-1 dg``. Fits that did not
    converge, or have no unique solution, pass no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, z: Tensor, converged: Tensor, problem: _Problem
    ) -> Tensor:
        ctx.save_for_backward(images, weight, z, converged)
        ctx.problem = problem
        return z.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_z: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, z, converged = ctx.saved_tensors
        problem: _Problem = ctx.problem
        by_images, by_weight = torch.zeros_like(images), torch.zeros_like(images)
        for index in torch.nonzero(converged)[:, 0].split(problem.chunk):
            with torch.enable_grad():
                leaves = [t[index].detach().requires_grad_() for t in (z, images, weight)]
                gradient = problem.gradient(leaves[0], index, *leaves[1:])
                rows = [
                    torch.autograd.grad(g.sum(), leaves[0], retain_graph=True)[0]
                    for g in gradient.unbind(1)
                ]
                curvature = -torch.stack(rows, 1).double()
                may = problem.bounds.free(z[index], gradient)
                adjoint = _solve_free(curvature.mT, by_z[index].double(), may).to(z.dtype)
                by_images[index], by_weight[index] = torch.autograd.grad(
                    gradient, leaves[1:], adjoint
                )
        return by_images, by_weight, None, None, None
