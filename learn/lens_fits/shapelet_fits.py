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
from learn.lens_fits.companions import explain_better, find_companions
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.sersic_fits import coarsen
from simulate.dataset.photometry import Photometry

#: Steps of the fit, and those that follow once the noise is that of its model: enough for the
#: evidence to choose the regularisation, which it does after five. A fit has converged when a step
#: is not expected to lower chi^2 by more than the tolerance.
_STEPS, _LAST, _TOLERANCE = 12, 9, 3.0
#: chi^2 over the degrees of freedom from which light far from the lens may be that of a companion.
_POOR = 1.3
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
        start = _make_fitter(psf, *settings, factor, _STEPS)(*bin_flux(flux, sigma, factor)).params
        found = last(flux, sigma, start=start)
    else:
        found = fine(flux, sigma)
    start, masked = _leave_out_companions(found, fine, flux, sigma)
    # The noise follows from the model, once there is one: a dark pixel that has counted too little
    # would weigh too much.
    mean, sigma = photometry.mean_and_sigma(found.model)
    own = flux - (mean - found.model)
    result = last(own, sigma.masked_fill(masked, torch.inf), start=start)
    return collect(result, own, photometry, config, draws)


def _leave_out_companions(
    found: lp.FitResult, fitter: lp.Fitter, flux: Tensor, sigma: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Fit images (B, H, W) again without light far from the lens, where that explains them better.

    Returns:
        Parameters (B,) by name, and a mask (B, H, W) of the pixels to be left out.
    """
    values, masked = dict(found.params), torch.zeros_like(flux, dtype=torch.bool)
    mask = find_companions(found, sigma.reciprocal())
    rows = torch.nonzero((found.chi2_dof > _POOR) & mask.flatten(1).any(1))[:, 0]
    if not len(rows):
        return values, masked
    without = sigma[rows].masked_fill(mask[rows], torch.inf)
    start = {name: value[rows] for name, value in values.items()}
    other = fitter(flux[rows], without, start=start)
    better = explain_better(other, found, mask, rows)
    for name, value in other.params.items():
        values[name] = values[name].index_copy(0, rows[better], value[better])
    masked[rows[better]] = mask[rows[better]]
    return values, masked


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
        tolerance=_TOLERANCE,
    )
