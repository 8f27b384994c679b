"""Fits of a Sersic source behind a power law, and of a Sersic lens where it shines."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lensphys as lp
from learn.config import LensFitConfig
from learn.lens_fits.channels import bin_flux
from learn.lens_fits.collect import DrawRequest, collect
from learn.lens_fits.lens_fits import LensFits
from lensphys.fitting.scene import LensScene
from simulate.dataset.photometry import Photometry

#: chi^2 beyond that of noise from which a fit is tried again: the square of a S/N of 45.
POOR = 2000.0
#: Modulus of an ellipticity from which it is tried again too: galaxies are rounder than 1 to 3.
FLAT = 0.5
#: Pixels on a side from which a first lens is looked for in coarser ones.
LARGE = 128


@torch.no_grad()
def fit_sersics(
    flux: Tensor,
    photometry: Photometry,
    config: LensFitConfig,
    lens_light: bool,
    draws: DrawRequest | None = None,
) -> LensFits:
    """Lens fits of images (B, H, W), e-/s; see :func:`learn.lens_fits.solve.fit_images`."""
    first, patient, last = _fitters(photometry, config, lens_light, coarsen(flux))
    scene = LensScene("EPL", lens_light=lens_light)
    pixels = photometry.pixels((flux.shape[-2], flux.shape[-1]), flux)

    def solve(rows: Tensor, start: dict[str, Tensor] | None) -> LensFits:
        own, known = flux[rows], photometry.select(rows.cpu().numpy())
        sigma = known.mean_and_sigma(own)[1]
        result = None
        # The noise follows from the model, once there is one: a dark pixel that has counted too
        # little would weigh too much. And again from the power law, which may differ by more than
        # the noise where light is bright.
        for _ in range(1 if start is None else 2):
            if start is not None:
                model = scene.image(start, pixels)
                mean, sigma = known.mean_and_sigma(model)
                own = flux[rows] - (mean - model)
            result = last(own, sigma, start=start)
            start = result.params
        assert result is not None
        return collect(result, own, known, config, draws and draws.take(rows.tolist()))

    everything = torch.arange(len(flux), device=flux.device)
    if not config.steps:
        return solve(everything, None)
    noise = photometry.mean_and_sigma(flux)[1]
    binned = bin_flux(flux, noise, coarsen(flux))
    found = solve(everything, _as_power_law(first(*binned).params))

    def retry(which: NDArray[np.bool_], start: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """Fit some of the images from another start, and keep what explains them better."""
        chosen = torch.from_numpy(np.flatnonzero(which))
        if not len(chosen):
            return
        rows = chosen.to(flux.device)
        other = solve(rows, _as_power_law(start(rows)))
        better = other.chi2_dof < found.chi2_dof[chosen]
        found.replace_rows(chosen[better], other.rows(better))

    names = scene.names
    mirrored = _mirror(found.values.numpy(), names)
    retry(
        _is_off_centre(found.values.numpy(), names),
        lambda rows: scene.named(torch.from_numpy(mirrored).to(flux)[rows]),
    )
    chi2, values = found.chi2_dof.numpy(), found.values.numpy()
    shown = noise.isfinite().flatten(1).sum(1).cpu().numpy()  # others are padding
    dof = (shown - len(names)).astype(chi2.dtype)
    poor = ~((chi2 - float(photometry.noisy)) * dof < POOR)
    doubtful = poor | _is_off_centre(values, names) | _is_flat(values, names)
    retry(doubtful, lambda rows: patient(*(part[rows] for part in binned)).params)
    return found


def _mirror(values: NDArray[Any], names: tuple[str, ...]) -> NDArray[Any]:
    """Lenses (B, P) on the other side of their sources.

    The ring of a nearly round lens is centred on its source, to first order, whichever side of the
    source the lens is on: chi^2 has a minimum on both, and a fit may find the wrong one.
    """
    other = values.copy()
    for axis in "xy":
        centre, source = (names.index(f"{of}center_{axis}") for of in ("", "source_"))
        other[:, centre] = 2 * values[:, source] - values[:, centre]
    return other


def _is_off_centre(values: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Tell which lenses would be nearer the centre of the image on the other side of the source."""

    def distance(of: NDArray[Any]) -> NDArray[Any]:
        far: NDArray[Any] = np.hypot(*(of[:, names.index(f"center_{axis}")] for axis in "xy"))
        return far

    nearer: NDArray[np.bool_] = distance(_mirror(values, names)) < distance(values)
    return nearer


def _is_flat(values: NDArray[Any], names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Tell which lenses are flatter than galaxies are, as at the edge of what is tried."""
    flat: NDArray[np.bool_] = np.hypot(*(values[:, names.index(n)] for n in ("e1", "e2"))) > FLAT
    return flat


def coarsen(images: Tensor) -> int:
    """The factor by which images (B, H, W) are binned to find a first lens: 2 for large ones."""
    sides = images.shape[-2:]
    return 2 if min(sides) >= LARGE and not any(n % 2 for n in sides) else 1


def _as_power_law(isothermal: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**isothermal, "gamma": torch.full_like(isothermal["theta_E"], 2.0)}


def _fitters(
    photometry: Photometry, config: LensFitConfig, lens_light: bool, coarser: int
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    return _make_fitters(photometry.psf, photometry.rays, config.steps, lens_light, coarser)


@functools.lru_cache(maxsize=4)  # each renders thousands of templates
def _make_fitters(
    psf: lp.GaussianPSF | lp.MoffatPSF, rays: int, steps: int, lens_light: bool, coarser: int
) -> tuple[lp.Fitter, lp.Fitter, lp.Fitter]:
    """Make a quick search for an isothermal lens, a patient one, and what makes a power law of it.

    An isothermal lens is found in a third of the time, and from there the slope is a small step.
    Most lenses are found at once.
    """

    def fitter(mass: str, scale: float, retry_above: float, n_starts: int = 3) -> lp.Fitter:
        return lp.Fitter(
            pixel_scale=scale,
            psf=dataclasses.replace(psf, pixel_scale=scale),
            mass=mass,
            lens_light=lens_light,
            supersampling=rays,
            n_starts=n_starts,
            retry_above=retry_above,
            max_steps=steps,
        )

    wide = coarser * psf.pixel_scale
    quick, patient = fitter("SIE", wide, math.inf), fitter("SIE", wide, 0.0)
    return quick, patient, fitter("EPL", psf.pixel_scale, math.inf, n_starts=1)
