"""What the lens equation says of an image before a network sees it.

A smooth lens is fitted to it (:func:`lensphys.fit`), without labels. What that leaves travels
beside the image as channels; :mod:`learn.lens_fits.store` keeps those of a data set.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

import lensphys as lp
from learn.config import PriorConfig
from learn.lens_fits.parameters import Fit
from lensphys.fitting.fitter import FitResult
from lensphys.rendering import Pixels
from simulate.dataset.photometry import Photometry

Array = NDArray[Any]

#: What travels beside an image, in this order: the residual; the response, which is the change of
#: the image with a deflection along x and along y; the place in the source plane; and the noise.
CHANNELS = ("residual", "response_x", "response_y", "beta_x", "beta_y", "sigma")
#: Where they are in the stack that a network is given, after the flux.
RESIDUAL, RESPONSE, SOURCE_PLANE, SIGMA = slice(1, 2), slice(2, 4), slice(4, 6), slice(6, 7)
#: Pairs of channels that are vectors, and turn with the image.
VECTORS = ((1, 2), (3, 4))
#: Changes with the meaning of what is in the files.
_VERSION = 4
#: chi^2 beyond that of noise from which a fit is tried again: the square of a S/N of 45.
_POOR = 2000.0
#: Modulus of an ellipticity from which it is tried again too: galaxies are rounder than 1 to 3.
_FLAT = 0.5
#: Pixels on a side from which a first lens is looked for in coarser ones.
_LARGE = 128
#: Pixels on a side of the box whose mean a high-pass channel lacks.
_BOX = 5
#: Of half precision.
_LARGEST = 6e4


@dataclasses.dataclass(frozen=True, eq=False)
class FittedImages:
    """Images (B, H, W) with their smooth lenses.

    Attributes:
        flux: that was fitted, in e-/s.
        sigma: its noise.
        result: of the fit.
        pixels: that the model was rendered at.
        photometry: of the images.
    """

    flux: Tensor
    sigma: Tensor
    result: FitResult
    pixels: Pixels
    photometry: Photometry

    def described(self, *, high_pass: bool) -> dict[str, Array]:
        """What is kept of them, by the names of :class:`learn.lens_fits.store.LensPrior`."""
        result, channels = self.result, self.channels(high_pass=high_pass)
        finite = channels.isfinite().flatten(1).all(1)
        return {
            "params": torch.stack(list(result.params.values()), 1).cpu().numpy(),
            "covariance": result.covariance.float().cpu().numpy(),
            "chi2_dof": result.chi2_dof.cpu().numpy(),
            "converged": (result.converged & finite).cpu().numpy(),
            "channels": channels.nan_to_num(0.0).clamp(-_LARGEST, _LARGEST).half().cpu().numpy(),
        }

    def channels(self, *, high_pass: bool) -> Tensor:
        """:data:`CHANNELS` (B, 6, H, W); ``high_pass``: the control in place of the residual."""
        residual = high_passed(self.flux) / self.sigma if high_pass else self.result.residual
        rate = torch.from_numpy(self.photometry.rate).to(self.sigma)[:, None, None]
        maps = [residual, *self._response().unbind(1), *self._source_plane(), self.sigma / rate]
        return torch.stack(maps, 1)

    def _response(self) -> Tensor:
        """How an image changes with a deflection along x and y (B, 2, H, W), in sigma an arcsec."""
        along = [1 + self.result.names.index(f"source_center_{axis}") for axis in "xy"]
        maps = self.result.scene.image_and_jacobian(self.result.params, self.pixels)
        # Light that is deflected by d and a source that moves by d look the same.
        return maps[:, along] / self.sigma[:, None]

    def _source_plane(self) -> list[Tensor]:
        """Where in the source pixels come from, in half-light radii from its centre."""
        flux, params = self.flux, self.result.params
        shape, scale = (flux.shape[-2], flux.shape[-1]), self.photometry.pixel_scale
        centres = lp.pixel_grid(shape, scale, dtype=flux.dtype, device=flux.device)
        beta = self.result.lens.ray_trace(*centres)
        size = params["source_R_sersic"][:, None, None]
        return [
            (place - params[f"source_center_{axis}"][:, None, None]) / size
            for axis, place in zip("xy", beta, strict=True)
        ]


def prior_of_images(
    images: Tensor, photometry: Photometry, config: PriorConfig, *, lens_light: bool
) -> tuple[Tensor, Fit]:
    """Channels (B, 6, H, W) and fits of images (B, 1, H, W) that belong to no data set."""
    part = fit_images(images[:, 0], photometry, config, lens_light)
    channels = torch.from_numpy(part.pop("channels")).to(images)
    fit = Fit.of(parameter_names(photometry, config, lens_light), **part)
    return channels, fit.changed(lambda values: values.to(images.device))


def network_input(image: Tensor, channels: Tensor) -> Tensor:
    """Flux and channels as one stack (B, 7, H, W)."""
    return torch.cat([image, channels.to(image)], 1)


def binned(stack: Tensor, factor: int) -> Tensor:
    """Images of coarser pixels, each the sum of ``factor`` x ``factor``.

    Pixels that are left over at two of the edges are left out.

    Args:
        stack: flux (B, 1, H, W), or what :func:`network_input` gives.
        factor: pixels along a side of a coarse one.
    """
    if factor == 1:
        return stack
    if stack.shape[1] == 1:
        return F.avg_pool2d(stack, factor) * factor**2
    flux, in_sigma, place, fine_sigma = stack.split((1, 3, 2, 1), 1)
    flux, sigma = _binned(flux, fine_sigma, factor)
    sigma = sigma.clamp_min(torch.finfo(sigma.dtype).tiny ** 0.5)
    in_sigma = F.avg_pool2d(in_sigma * fine_sigma, factor) * factor**2 / sigma
    return torch.cat([flux, in_sigma, F.avg_pool2d(place, factor), sigma], 1)


def shines(config: dict[str, Any]) -> bool:
    """Whether the lenses of a data set with this configuration shine."""
    enabled = config.get("lens_light", {}).get("enabled", False)
    return bool(enabled or config.get("non_lens", {}).get("fraction", 0) > 0)


def recipe(photometry: Photometry, config: PriorConfig, lens_light: bool) -> str:
    """All that the fit of an image follows from, but the image."""
    optics = dataclasses.asdict(photometry)
    del optics["rate"], optics["exposure"]
    of = {"steps": config.steps, "high_pass": config.residual == "high-pass"}
    how = [_VERSION, _POOR, _FLAT, _LARGE, _BOX]
    return json.dumps([how, optics, of, lens_light], sort_keys=True)


def parameter_names(
    photometry: Photometry, config: PriorConfig, lens_light: bool
) -> tuple[str, ...]:
    """Of what is fitted, in the order of its columns."""
    return _fitters(photometry, config, lens_light)[-1].scene.names


@torch.no_grad()
def fit_images(
    images: Tensor, photometry: Photometry, config: PriorConfig, lens_light: bool
) -> dict[str, Array]:
    """Fit images (B, H, W), and describe what that leaves.

    Returns:
        Arrays by the names of :class:`learn.lens_fits.store.LensPrior`.
    """
    flux = images * torch.from_numpy(photometry.rate).to(images)[:, None, None]
    first, patient, last = _fitters(photometry, config, lens_light, _coarser(flux))
    pixels = photometry.pixels((flux.shape[-2], flux.shape[-1]), flux)

    def described(rows: Tensor, start: dict[str, Tensor] | None) -> dict[str, Array]:
        own, known = flux[rows], photometry.select(rows.cpu().numpy())
        sigma = known.mean_and_sigma(own)[1]
        result = None
        # The noise follows from the model, once there is one: a dark pixel that has counted too
        # little would weigh too much. And again from the power law, which may differ by more than
        # the noise where light is bright.
        for _ in range(1 if start is None else 2):
            if start is not None:
                model = last.scene.image(start, pixels)
                mean, sigma = known.mean_and_sigma(model)
                own = flux[rows] - (mean - model)
            result = last(own, sigma, start=start)
            start = result.params
        assert result is not None
        fitted = FittedImages(own, sigma, result, pixels, known)
        return fitted.described(high_pass=config.residual == "high-pass")

    everything = torch.arange(len(flux), device=flux.device)
    if not config.steps:
        return described(everything, None)
    binned = _binned(flux, photometry.mean_and_sigma(flux)[1], _coarser(flux))
    found = described(everything, _as_power_law(first(*binned).params))

    def again(which: NDArray[np.bool_], start: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Fit some of the images from another start, and keep what explains them better."""
        chosen = np.flatnonzero(which)
        if not len(chosen):
            return
        rows = torch.from_numpy(chosen).to(flux.device)
        other = described(rows, _as_power_law(start(rows)))
        better = ~(other["chi2_dof"] >= found["chi2_dof"][chosen])
        for name, values in found.items():
            values[chosen[better]] = other[name][better]

    names = last.scene.names
    turned_over = _turned_over(found["params"], names)
    again(
        _off_centre(found["params"], names),
        lambda rows: last.scene.named(torch.from_numpy(turned_over).to(flux)[rows]),
    )
    dof = flux[0].numel() - len(names)
    poor = ~((found["chi2_dof"] - float(photometry.noisy)) * dof < _POOR)
    doubtful = poor | _off_centre(found["params"], names) | _flat(found["params"], names)
    again(doubtful, lambda rows: patient(*(values[rows] for values in binned)).params)
    return found


def _turned_over(params: Array, names: tuple[str, ...]) -> Array:
    """Lenses (B, P) on the other side of their sources.

    The ring of a nearly round lens is centred on its source, to first order, whichever side of the
    source the lens is on: chi^2 has a minimum on both, and a fit may find the wrong one.
    """
    other = params.copy()
    for axis in "xy":
        centre, source = (names.index(f"{of}center_{axis}") for of in ("", "source_"))
        other[:, centre] = 2 * params[:, source] - params[:, centre]
    return other


def _off_centre(params: Array, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether lenses on the other side of their sources would be nearer the centres of images."""

    def distance(of: Array) -> Array:
        return np.hypot(*(of[:, names.index(f"center_{axis}")] for axis in "xy"))

    nearer = distance(_turned_over(params, names)) < distance(params)
    return nearer & np.isfinite(params).all(1)


def _flat(params: Array, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether lenses are flatter than galaxies are, as at the edge of what is tried."""
    return np.hypot(*(params[:, names.index(name)] for name in ("e1", "e2"))) > _FLAT


def _coarser(images: Tensor) -> int:
    """By how much images (B, H, W) are binned to find a first lens: large ones by two."""
    sides = images.shape[-2:]
    return 2 if min(sides) >= _LARGE and not any(n % 2 for n in sides) else 1


def _binned(flux: Tensor, sigma: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Sums of fluxes (..., H, W) over blocks of pixels, and their noise."""
    if factor == 1:
        return flux, sigma
    variance = F.avg_pool2d(sigma.square(), factor) * factor**2
    return F.avg_pool2d(flux, factor) * factor**2, variance.sqrt()


def _as_power_law(isothermal: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**isothermal, "gamma": torch.full_like(isothermal["theta_E"], 2.0)}


def _fitters(
    photometry: Photometry, config: PriorConfig, lens_light: bool, coarser: int = 1
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    optics = photometry.pixel_scale, photometry.psf_fwhm, photometry.psf_truncation
    return _fitters_of(*optics, photometry.rays, config.steps, lens_light, coarser)


@functools.lru_cache(maxsize=4)  # each renders thousands of templates
def _fitters_of(
    pixel_scale: float,
    fwhm: float,
    truncation: float,
    rays: int,
    steps: int,
    lens_light: bool,
    coarser: int,
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    """A quick search for an isothermal lens, a patient one, and what makes a power law of it.

    An isothermal lens is found in a third of the time, and from there the slope is a small step.
    Most lenses are found at once.
    """

    def fitter(mass: str, scale: float, retry_above: float, n_starts: int = 3) -> lp.Fitter:
        return lp.Fitter(
            pixel_scale=scale,
            psf=lp.GaussianPSF(fwhm=fwhm, pixel_scale=scale, truncation=truncation),
            mass=mass,
            lens_light=lens_light,
            supersampling=rays,
            n_starts=n_starts,
            retry_above=retry_above,
            max_steps=steps,
        )

    wide = coarser * pixel_scale
    quick, patient = fitter("SIE", wide, math.inf), fitter("SIE", wide, 0.0)
    return quick, patient, fitter("EPL", pixel_scale, math.inf, n_starts=1)


def high_passed(maps: Tensor) -> Tensor:
    """Maps (..., H, W) less their means over boxes of a few pixels."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    smooth = F.avg_pool2d(flat, _BOX, 1, _BOX // 2, count_include_pad=False)
    return (flat - smooth).view_as(maps)
