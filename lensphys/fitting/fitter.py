"""Lens modelling as a layer: images in, lens and source parameters with errors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.fitting.bounds import Bounds, per_image
from lensphys.fitting.implicit import ImplicitFit
from lensphys.fitting.observations import Images, check_images, take_psf
from lensphys.fitting.posterior import compute_evidence, count_effective, invert_fisher
from lensphys.fitting.priors import Priors
from lensphys.fitting.problem import SersicProblem
from lensphys.fitting.result import FitResult
from lensphys.fitting.scene import LensScene
from lensphys.fitting.search import Search
from lensphys.fitting.templates import Templates, starting_values
from lensphys.grid import pixel_grid
from lensphys.parameters import Parameter, check_width, read_parameter
from lensphys.psf import PSF
from lensphys.rendering import Pixels
from lensphys.threads import side_by_side


def fit(
    images: Images,
    sigma: Parameter,
    *,
    pixel_scale: float,
    psf: PSF | Tensor | NDArray[Any] | None = None,
    mass: str = "SIE",
    lens_light: bool = False,
    supersampling: int = 1,
    start: Mapping[str, Parameter] | None = None,
    fixed: Mapping[str, Parameter] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    priors: Mapping[str, tuple[Parameter, Parameter]] | None = None,
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
        images: ``(B, ny, nx)``, or ``(ny, nx)`` for a batch of one; flux per pixel. Tensors, arrays
            of any byte order and stride, or a list of images of one shape.
        sigma: standard deviation of the noise: a number, ``(B,)``, or maps like ``images``. A pixel
            is masked where it is infinite, or above 1e4 times the level that a twentieth of the
            finite ones of the image are below: files mark pixels without data by 1e8 or so.
        pixel_scale: width of a pixel, arcsec.
        psf, supersampling: of the images; see :func:`lensphys.render`. A bare array ``(ky, kx)`` is
            the kernel of the pixels of the images, as :class:`lensphys.PixelPSF` takes it, and is
            normalised; ``(B, ky, kx)`` holds one for each image.
        mass: name of a mass profile that can be fitted, such as ``"SIE"`` or ``"EPL"``; see
            :data:`lensphys.mass.MASSES`.
        lens_light: fit a Sersic profile of the lens too, as ``lens_light_amplitude`` ...
        start: starting values by parameter name, numbers or ``(B,)``; other parameters start from
            a round lens and a round source at the centre. Without ``start`` the fit starts from
            the templates that match the image best.
        fixed: values, numbers or ``(B,)``, of parameters that are not to be fitted.
        bounds: ``name: (low, high)`` instead of the default range of a parameter; a
            transformation keeps the fit inside.
        priors: mean and standard deviation of a Gaussian prior by parameter name, numbers or
            ``(B,)``; each adds ``((p - mean) / sd)^2`` to chi^2. The prior of other parameters is
            flat within their bounds.
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
    )(images, sigma, start=start, fixed=fixed, priors=priors)


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
        psf: PSF | Tensor | NDArray[Any] | None = None,
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
        self._pixel_scale = float(pixel_scale)
        self._psf = take_psf(psf, self._pixel_scale)
        self._supersampling = supersampling
        self._bounds = dict(bounds or {})
        self._n_starts, self._retry_above = n_starts, retry_above
        self._max_steps, self._tolerance = max_steps, tolerance
        self._cached: dict[Any, tuple[Pixels, Tensor, Templates | None]] = {}

    @side_by_side()
    def __call__(
        self,
        images: Images,
        sigma: Parameter,
        *,
        start: Mapping[str, Parameter] | None = None,
        fixed: Mapping[str, Parameter] | None = None,
        priors: Mapping[str, tuple[Parameter, Parameter]] | None = None,
    ) -> FitResult:
        """Fit a batch of images; see :func:`fit`."""
        start, fixed = start or {}, fixed or {}
        given = {**start, **fixed}
        free = len(self.scene.names) - len(fixed)
        images, weight = check_images(images, sigma, free)
        complete = bool(start) and (not self._max_steps or given.keys() >= {*self.scene.names})
        pixels, templates = self._prepare(images, with_templates=not complete)
        half_field = 0.5 * pixels.pixel_scale * min(pixels.shape)
        with torch.no_grad():
            peak = images.amax((-2, -1)) / pixels.pixel_scale**2
            peak = torch.where(peak > 0, peak, 1.0)
            bounds = Bounds(self.scene.ranges, half_field, peak, self._bounds, fixed)
            known = Priors.read(priors or {}, self.scene.names, peak)
            data = images.detach(), weight.detach()
            problem = SersicProblem(self.scene, pixels, bounds, known, *data)
            search = Search(
                n_starts=self._n_starts,
                retry_above=self._retry_above,
                max_steps=self._max_steps,
                tolerance=self._tolerance,
                bounded=self._bounds,
            )
            first = starting_values(self.scene, start, half_field, peak)[:, None]
            if templates is None:
                found = search.descend(problem, first)
            else:
                near = {name: per_image(name, value, peak) for name, value in given.items()}
                found = search.run(problem, templates, near, first if start else None)
            covariance = invert_fisher(problem, found.z, found.normal)
            effective = count_effective(problem, covariance)
            dof = (weight > 0).sum((-2, -1)) - effective
            chi2_dof = problem.chi2(found.objective, found.z) / dof
            evidence = compute_evidence(problem, found.z, found.normal)

        z, everything = found.z, found.index
        if torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad):
            z = ImplicitFit.apply(images, weight, found.z, found.converged, problem)
        params = self.scene.named(bounds.forward(z, everything)[0])
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
            priors=known.named(images.dtype),
            problem=problem,
        )

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
