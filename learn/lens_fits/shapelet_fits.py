"""Fits of a source in shapelets behind a power law, and of Gaussians where the lens shines."""

from __future__ import annotations

import dataclasses
import functools

import torch
import torch.nn.functional as F
from torch import Tensor

import lensphys as lp
from learn.config import LensFitConfig
from learn.lens_fits.channels import bin_flux
from learn.lens_fits.collect import DrawRequest, collect
from learn.lens_fits.companions import explain_better, find_companions
from learn.lens_fits.lens_fits import LensFits
from simulate.dataset.photometry import Photometry

#: Steps of the first fit, and of the last one: enough for the evidence to choose the
#: regularisation, which it does after five. A fit has converged when a step is not expected to
#: lower chi^2 by more than the tolerance.
STEPS, _TOLERANCE = 12, 3.0
#: Highest orders of the source in the first fit: more of them found no better lens.
FIRST_ORDER = (10, 6)
#: chi^2 above its mean, for each pixel, from which light far from the lens may be a companion's.
POOR = 0.3
#: Power of the order with which the regularisation of the source grows: on images of `realistic`
#: the evidence is greater than for 3 and for 6, and less of a mass is absorbed.
STEEPNESS = 4.5
#: Part of the pixels of an image that a companion may cover.
PATCH = 0.04
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

    A first lens is found in pixels twice as wide, with a source of a lower order. One ray a pixel:
    expansions are smooth, and 2 x 2 rays explained no more.
    """
    psf, steps = photometry.psf, min(STEPS, config.steps)
    # A kernel of pixels is one of these pixels alone.
    factor = 1 if isinstance(psf, lp.PixelPSF) or any(n % 2 for n in flux.shape[-2:]) else 2
    coarse = _make_fitter(psf, _lower(config.source_order), steps, lens_light, factor)
    wide, noise = bin_flux(flux, photometry.mean_and_sigma(flux)[1], factor)
    found = coarse(wide, noise)
    start, masked = _leave_out_companions(found, coarse, wide, noise, 1 + POOR * factor**2)
    # The noise follows from the model, once there is one: a dark pixel that has counted too little
    # would weigh too much.
    model = _refine(found.model, factor) / factor**2
    mean, sigma = photometry.mean_and_sigma(model)
    own = flux - (mean - model)
    masked = _refine(masked.to(flux), factor) > 0
    last = _make_fitter(psf, config.source_order, steps, lens_light, 1)
    result = last(own, sigma.masked_fill(masked, torch.inf), start=start)
    return collect(result, own, photometry, config, draws)


def _lower(order: int | tuple[int, int]) -> int | tuple[int, int]:
    if isinstance(order, int):
        return min(order, FIRST_ORDER[0])
    return min(order[0], FIRST_ORDER[0]), min(order[1], FIRST_ORDER[1])


def _refine(maps: Tensor, factor: int) -> Tensor:
    """Values of maps (B, h, w) at pixels a factor smaller, between those of the wide ones."""
    if factor == 1:
        return maps
    return F.interpolate(maps[:, None], scale_factor=factor, mode="bilinear")[:, 0]


def _leave_out_companions(
    found: lp.FitResult, fitter: lp.Fitter, flux: Tensor, sigma: Tensor, poor: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Fit images (B, H, W) again without light far from the lens, where that explains them better.

    Args:
        found: fits of the images.
        fitter: fits them again.
        flux, sigma: of the images.
        poor: chi^2 over the degrees of freedom from which they are in doubt.

    Returns:
        Parameters (B,) by name, and a mask (B, H, W) of the pixels to be left out.
    """
    values, masked = dict(found.params), torch.zeros_like(flux, dtype=torch.bool)
    mask = find_companions(found, sigma.reciprocal(), PATCH)
    rows = torch.nonzero((found.chi2_dof > poor) & mask.flatten(1).any(1))[:, 0]
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
    steps: int,
    lens_light: bool,
    factor: int,
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
        source_steepness=STEEPNESS,
        n_starts=1,
        max_steps=steps,
        tolerance=_TOLERANCE,
    )
