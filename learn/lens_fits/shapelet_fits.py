"""Fits of a source in shapelets behind a power law, and of Gaussians where the lens shines."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

import lensphys as lp
from learn.config import LensFitConfig
from learn.lens_fits.channels import bin_flux
from learn.lens_fits.collect import DrawRequest, collect
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.sersic_fits import coarsen
from simulate.dataset.photometry import Photometry

#: Steps of the fit, and those that follow once the noise is that of its model.
_STEPS, _LAST = 12, 4
#: Multipoles of the lens: those of an isophote that is no ellipse.
_MULTIPOLES = (3, 4)


@torch.no_grad()
def fit_shapelets(
    flux: Tensor,
    photometry: Photometry,
    config: LensFitConfig,
    lens_light: bool,
    draws: DrawRequest | None = None,
) -> LensFits:
    """Lens fits of images (B, H, W), e-/s; see :func:`learn.lens_fits.solve.fit_images`.

    One ray a pixel: expansions are smooth, and more rays changed no chi^2 by 0.1.
    """
    psf, settings = photometry.psf, (config.source_order, config.steps, lens_light)
    # A kernel of pixels is one of these pixels alone.
    factor = 1 if isinstance(psf, lp.PixelPSF) else coarsen(flux)
    fine, last = (_make_fitter(psf, *settings, 1, steps) for steps in (_STEPS, _LAST))
    sigma = photometry.mean_and_sigma(flux)[1]
    if factor > 1:
        first = _make_fitter(psf, *settings, factor, _STEPS)
        found = first(*bin_flux(flux, sigma, factor))
    else:
        found = fine(flux, sigma)
    # The noise follows from the model, once there is one: a dark pixel that has counted too little
    # would weigh too much.
    model = found.model if factor == 1 else last(flux, sigma, start=found.params).model
    mean, sigma = photometry.mean_and_sigma(model)
    own = flux - (mean - model)
    result = last(own, sigma, start=found.params)
    return collect(result, own, photometry, config, draws)


@functools.lru_cache(maxsize=8)
def _make_fitter(
    psf: lp.GaussianPSF | lp.MoffatPSF | lp.PixelPSF,
    source_order: int | tuple[int, int],
    most_steps: int,
    lens_light: bool,
    factor: int,
    steps: int,
) -> lp.Fitter:
    scale = factor * psf.pixel_scale
    return lp.Fitter(
        pixel_scale=scale,
        psf=dataclasses.replace(psf, pixel_scale=scale),
        mass="EPL",
        multipoles=_MULTIPOLES,
        lens_light="mge" if lens_light else None,
        source="shapelets",
        source_order=source_order,
        n_starts=1,
        max_steps=min(steps, most_steps),
    )
