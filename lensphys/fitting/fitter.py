"""Lens modelling as a layer: images in, lens and source parameters with errors out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from lensphys.export.lens_system import LensSystem
from lensphys.fitting.deflectors import Deflectors
from lensphys.fitting.linear.fit import fit_linear
from lensphys.fitting.linear.settings import LIGHTS, LinearModel
from lensphys.fitting.observations import Images, check_data, check_images, check_kernels, take_psf
from lensphys.fitting.result import FitResult
from lensphys.fitting.scene import LensScene
from lensphys.fitting.search import Search
from lensphys.fitting.sersic_fit import SersicFit
from lensphys.fitting.templates import Templates
from lensphys.grid import pixel_grid
from lensphys.ground.numbers import is_number
from lensphys.mass.base import MassProfile
from lensphys.parameters import Parameter, check_width, read_parameter
from lensphys.psf import PSF, PixelPSF
from lensphys.rendering import Pixels
from lensphys.threads import side_by_side


def fit(
    images: Images,
    sigma: Parameter,
    *,
    pixel_scale: float,
    psf: PSF | Tensor | NDArray[Any] | None = None,
    mass: str = "SIE",
    multipoles: Sequence[int] = (),
    neighbours: Sequence[MassProfile] = (),
    lens_light: bool | str | Sequence[str] | None = None,
    source: str | Sequence[str] = "sersic",
    source_order: int | tuple[int, int] | None = None,
    source_steepness: float | None = None,
    sky: bool | str = False,
    model_error: float | tuple[float, float] = 0.0,
    supersampling: int = 1,
    start: Mapping[str, Parameter] | LensSystem | None = None,
    fixed: Mapping[str, Parameter] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    priors: Mapping[str, tuple[Parameter, Parameter]] | None = None,
    n_starts: int = 3,
    retry_above: float | None = None,
    max_steps: int = 50,
    tolerance: float = 1e-2,
) -> FitResult:
    """Model of every image, the most probable one: a deflector with shear, and a source.

    Damped Gauss-Newton steps (Levenberg 1944; Marquardt 1963; damping after Nielsen 1999) through
    the renderer and its closed-form derivatives, for the whole batch at once. Sersic profiles
    without a background, multipoles or neighbours are fitted in all their parameters. In any other
    scene the brightness is linear in amplitudes, which are solved for at every step (variable
    projection: Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413), and the priors of
    :mod:`lensphys.fitting.linear.default_priors` apply. ``params`` are differentiable with respect
    to ``images`` and ``sigma`` by the implicit function theorem, and ``model`` and ``residual``
    through them; all other results are constants.

    Args:
        images: ``(B, ny, nx)``, or ``(ny, nx)`` for a batch of one; flux per pixel. Tensors, arrays
            of any byte order and stride, or a list of images of one shape.
        sigma: standard deviation of the noise: a number, ``(B,)``, or maps like ``images``. A pixel
            is masked where it is infinite, or above 1e4 times the level that a twentieth of the
            finite ones of the image are below: files mark pixels without data by 1e8 or so.
        pixel_scale: width of a pixel, arcsec.
        psf, supersampling: of the images; see :func:`lensphys.render`. A bare array ``(ky, kx)`` is
            the kernel of the pixels of the images, as :class:`lensphys.PixelPSF` takes it, and is
            normalised; ``(B, ky, kx)`` holds one for each image. Its peak is in the middle pixel,
            where :func:`lensphys.centre_kernel` brings it.
        mass: name of a mass profile that can be fitted, such as ``"SIE"`` or ``"EPL"``; see
            :data:`lensphys.mass.MASSES`.
        multipoles: orders of the main deflector, of 1, 3 and 4, as ``a3_cos``, ``a3_sin`` ...; see
            :class:`lensphys.fitting.deflectors.Deflectors`.
        neighbours: mass profiles that are given, each of one deflector or of ``(B,)`` of them.
        lens_light: fit the light of the lens too: ``"sersic"`` (or True), a Sersic profile with
            parameters ``lens_light_amplitude`` ...; ``("sersic", "sersic")``, up to four of them;
            ``"mge"``, a multi-Gaussian expansion.
        source: ``"sersic"``; ``("sersic", "sersic")``, up to four of them, such as clumps or bulge
            and disc, with parameters ``source_R_sersic``, ``source_2_R_sersic`` ..., the one of the
            largest flux first (unless ``start``, ``fixed``, ``bounds`` or ``priors`` name a
            parameter of a source); ``"shapelets"``; or ``"pixels"``, on a grid that follows the
            source.
        source_order: highest order of the shapelets, or those of two scales, ``(12, 8)``; half the
            pixels a side of the grid. By default 10, then shapelets of two scales, of rising orders
            for all while the evidence of an image of the batch grows or noise does not explain its
            chi^2.
        source_steepness: power of the order with which the regularisation of shapelets grows; by
            default 2 for one scale and 3 for two. The evidence chooses its strength.
        sky: fit a background that is constant; ``"smooth"`` for one of low order over the field.
        model_error: part of the model that counts as noise, ``sigma^2 + (error model)^2``, such as
            for a bright core whose PSF is uncertain; or a pair, that of the lens light and that of
            the lensed source. The model is that of the best fit before, in a few rounds, and
            gradients take this noise for a constant.
        start: starting values by parameter name, numbers or ``(B,)``, or a model, as
            :func:`lensphys.from_lenstronomy` returns it. If they are those of all parameters, the
            fit goes on from there. If some are missing, the fit starts from templates that agree
            with the values: Einstein radii to 20%, other radii within a factor of 2, places of the
            source to a quarter of the Einstein radius, ellipticities to 0.2; and from the values
            themselves, with a round lens and a round source at the centre. Without ``start`` the
            fit starts from the templates that match the image best.
        fixed: values, numbers or ``(B,)``, of parameters that are not to be fitted.
        bounds: ``name: (low, high)`` instead of the default range of a parameter; a
            transformation keeps the fit inside. By default the radius of a source behind a shining
            lens is below the Einstein radius of the template that suits it.
        priors: mean and standard deviation of a Gaussian prior by parameter name, numbers or
            ``(B,)``; each adds ``((p - mean) / sd)^2`` to chi^2. The prior of other parameters is
            flat within their bounds.
        n_starts: templates that are tried for every image. In scenes with linear amplitudes, 1 is a
            quick search, five times as fast, which takes the light of the lens off before it looks
            for the source, and misses more lenses; any other number is a thorough one.
        retry_above: in scenes without linear amplitudes, chi^2 over the degrees of freedom above
            which eight times as many other templates are tried; infinite for never. None tries
            again what noise does not explain, in vain if no model of the kind explains the image,
            as with substructure.
        max_steps: most evaluations of the model from the best starting point on, and from each of
            several while the best is sought; for each order of shapelets that is fitted in turn. 0
            leaves the starting point as it is.
        tolerance: a fit has converged when a step is not expected to lower chi^2 by more.

    Raises:
        ValueError: for images or noise that are not finite, wrong shapes, unknown names, too few
            pixels that are not masked, or settings out of range.
    """
    return Fitter(
        pixel_scale=pixel_scale,
        psf=psf,
        mass=mass,
        multipoles=multipoles,
        neighbours=neighbours,
        lens_light=lens_light,
        source=source,
        source_order=source_order,
        source_steepness=source_steepness,
        sky=sky,
        model_error=model_error,
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
        pixel_scale, psf, mass, multipoles, neighbours, lens_light: see :func:`fit`.
        source, source_order, source_steepness, sky, model_error: see :func:`fit`.
        supersampling, bounds: see :func:`fit`.
        n_starts, retry_above, max_steps, tolerance: see :func:`fit`.
    """

    def __init__(
        self,
        *,
        pixel_scale: float,
        psf: PSF | Tensor | NDArray[Any] | None = None,
        mass: str = "SIE",
        multipoles: Sequence[int] = (),
        neighbours: Sequence[MassProfile] = (),
        lens_light: bool | str | Sequence[str] | None = None,
        source: str | Sequence[str] = "sersic",
        source_order: int | tuple[int, int] | None = None,
        source_steepness: float | None = None,
        sky: bool | str = False,
        model_error: float | tuple[float, float] = 0.0,
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
        if retry_above is not None and not (
            retry_above == math.inf or (is_number(retry_above) and retry_above >= 0)
        ):
            raise ValueError(f"retry_above must be a number from 0 on, got {retry_above!r}")
        check_width("pixel_scale", pixel_scale)
        deflectors = Deflectors(mass, multipoles=multipoles, neighbours=neighbours)
        # The model checks them, and takes lists of them too.
        kinds: dict[str, Any] = {"lens_light": _read_lens_light(lens_light), "source": source}
        self._model = LinearModel(
            mass=mass,
            multipoles=deflectors.multipoles,
            neighbours=deflectors.neighbours,
            **kinds,
            source_order=source_order,
            source_steepness=source_steepness,
            sky=sky,
            model_error=model_error,
        )
        shining = self._model.lens_light is not None
        #: Scenes without linear amplitudes: that which is fitted, and one that it contains.
        self._scenes = _list_scenes(mass, shining) if _is_plain(self._model) else []
        self._pixel_scale = float(pixel_scale)
        self._psf = take_psf(psf, self._pixel_scale)
        self._supersampling = supersampling
        self._bounds = dict(bounds or {})
        self._search = Search(
            n_starts=n_starts,
            retry_above=retry_above,
            max_steps=max_steps,
            tolerance=tolerance,
            bounded=self._bounds,
        )
        self._cached: dict[Any, tuple[Pixels, Tensor, dict[str, Templates]]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, as ``start``, ``fixed``, ``bounds`` and ``priors`` take them."""
        if self._scenes:
            return self._scenes[0].names
        x, y = pixel_grid(8, self._pixel_scale)
        return self._model.scene(Pixels(x, y)).names

    @side_by_side()
    def __call__(
        self,
        images: Images,
        sigma: Parameter,
        *,
        start: Mapping[str, Parameter] | LensSystem | None = None,
        fixed: Mapping[str, Parameter] | None = None,
        priors: Mapping[str, tuple[Parameter, Parameter]] | None = None,
    ) -> FitResult:
        """Fit a batch of images; see :func:`fit`."""
        images, weight = check_images(images, sigma)
        start = start.start() if isinstance(start, LensSystem) else start or {}
        fixed, priors = fixed or {}, priors or {}
        if not self._scenes:
            pixels, _ = self._prepare(images, [])
            check_data(weight, len(self._model.scene(pixels).names) - len(fixed))
            return fit_linear(
                images,
                weight,
                pixels,
                self._model,
                start=start,
                fixed=fixed,
                bounds=self._bounds,
                priors=priors,
                quick=self._search.n_starts == 1,
                max_steps=self._search.max_steps,
                tolerance=self._search.tolerance,
            )
        check_data(weight, len(self._scenes[0].names) - len(fixed))
        task = SersicFit(
            scene=self._scenes[0],
            simpler=self._scenes[1] if len(self._scenes) > 1 else None,
            search=self._search,
            errors=self._model.errors,
            start=start,
            fixed=fixed,
            bounds=self._bounds,
            priors=priors,
        )
        pixels, templates = self._prepare(images, [] if task.complete else self._scenes)
        return task.run(images, weight, pixels, templates)

    def _prepare(
        self, images: Tensor, scenes: Sequence[LensScene]
    ) -> tuple[Pixels, dict[str, Templates]]:
        """Return pixels for images of this shape, precision and device, and templates by mass."""
        ny, nx = images.shape[-2:]
        key = (ny, nx, images.dtype, images.device)
        pixels, spread, templates = self._cached.get(key, (None, None, {}))
        # Later calls may differentiate, also if this one does not.
        with torch.inference_mode(False), torch.no_grad():
            if pixels is None:
                dtype, device = images.dtype, images.device
                x, y = pixel_grid((ny, nx), self._pixel_scale, dtype=dtype, device=device)
                pixels = Pixels(x, y, psf=self._psf, supersampling=self._supersampling)
            # A PSF may change, such as one whose width is a tensor, and templates are blurred.
            now = pixels.collect(_point_source(pixels.x))
            if spread is not None and not torch.equal(now, spread):
                templates = {}
            check_kernels(self._psf, images)
            for scene in scenes:
                if scene.mass not in templates:
                    templates[scene.mass] = Templates(scene, self._average(pixels))
        self._cached[key] = pixels, now, templates
        return pixels, templates

    def _average(self, pixels: Pixels) -> Pixels:
        """Pixels with the mean of the kernels of a batch, which templates are blurred with."""
        if not isinstance(self._psf, PixelPSF) or torch.as_tensor(self._psf.kernel).ndim < 3:
            return pixels
        kernels = torch.as_tensor(self._psf.kernel).detach()
        mean = (kernels / kernels.sum((-2, -1), keepdim=True)).mean(0)
        psf = dataclasses.replace(self._psf, kernel=mean, normalise=True)
        return Pixels(*pixels.centers, psf=psf, supersampling=self._supersampling)


def _is_plain(model: LinearModel) -> bool:
    """Tell if a model holds Sersic profiles alone, whose parameters are all fitted as such."""
    single = model.source == "sersic" and model.lens_light in (None, "sersic")
    return single and not model.sky and not model.multipoles and not model.neighbours


def _list_scenes(mass: str, lens_light: bool) -> list[LensScene]:
    """List the scene of a mass, and an isothermal one if that is a case of it."""
    scene, isothermal = (LensScene(name, lens_light=lens_light) for name in (mass, "SIE"))
    return [scene, isothermal] if {*isothermal.names} < {*scene.names} else [scene]


def _read_lens_light(given: Any) -> Any:
    """Return the kind of lens light; True is a Sersic profile."""
    if given is None or given is False:
        return None
    if given is True:
        return "sersic"
    if not isinstance(given, list | tuple) and not (isinstance(given, str) and given in LIGHTS):
        raise ValueError(
            "lens_light must be None, False, True (a Sersic profile), 'sersic', 'mge' or "
            f"('sersic', 'sersic'), got {given!r}"
        )
    return given


def _point_source(like: Tensor) -> Tensor:
    """Brightness of a point source in the middle of a map."""
    ny, nx = like.shape[-2:]
    brightness = torch.zeros_like(like)
    brightness[ny // 2, nx // 2] = 1.0
    return brightness
