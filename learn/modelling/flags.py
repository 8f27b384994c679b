"""Warnings about the model of a lens, in words."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import lensphys as lp
from learn.modelling.lens_data import LensData
from lensphys.fitting.linear.light_start import box, sharpen

NO_LENS = "no lens found"
NOT_CONVERGED = "not converged"
POOR = "poor fit"
SHEAR = "strong shear"
NEIGHBOUR = "neighbour"
POINT_SOURCE = "point source"
AT_EDGE = "arcs at the edge"
COMPANION = "companion masked"
NOISE = "noise map too large"
NEGATIVE = "negative image"
#: Warnings of models that may have taken something else for an image of the source.
DOUBTFUL = frozenset({POOR, SHEAR})

#: S/N of all the light of a source below which there is none to be sure of.
_SEEN = 10.0
#: Chi^2 per pixel about the ring, over that of pixels without lensed light, of a poor model; it
#: does not depend on how well the noise is known.
_POOR = 1.5
#: Shear beyond which a galaxy-scale lens is more often wrong than so strongly sheared.
_STRONG = 0.13
#: Residual of nine pixels together, in sigma, of an object that is no part of the model, and how
#: many square arcsec of it there are.
_BRIGHT, _LARGE = 6.0, 0.1
#: Smoothed image, in sigma, below minus which there is more than noise and faults of the sky.
_DEEP = 10.0
#: Chi^2 per degree of freedom below which the noise is much less than its map has it.
_TOO_GOOD = 0.1
#: Inner and outer radius of the ring, and of what is far from it, in Einstein radii.
_INNER, _OUTER, _FAR = 0.4, 1.6, 1.8
#: Fewest pixels from which noise is measured.
_ENOUGH = 100
#: Part of the light in the middle of a PSF, of that in 5 x 5 pixels, that a source without extent
#: has nearly as much of; S/N of such a peak, and their number.
_POINTED, _PEAK, _IMAGES = 0.8, 15.0, 2


def find_flags(result: lp.FitResult, data: LensData) -> list[str]:
    """Find what speaks against a model.

    Args:
        result: of the fit of one lens.
        data: that was fitted.
    """
    flags = []
    weight = result.problem.weight
    x, y = lp.pixel_grid(data.image.shape, data.pixel_scale, dtype=weight.dtype)
    p = {name: value.detach() for name, value in result.params.items()}
    radius = torch.hypot(x.to(weight.device) - p["center_x"], y.to(weight.device) - p["center_y"])
    seen, theta_E = weight[0] > 0, p["theta_E"]
    source = result.parts()["source"] * weight
    if not float(source.square().sum().sqrt()) > _SEEN:
        flags.append(NO_LENS)
    residual = result.residual.detach()
    if float(result.chi2_dof) < _TOO_GOOD:
        flags.append(NOISE)
    if _is_negative(data):
        flags.append(NEGATIVE)
    ring = seen & (radius < _OUTER * theta_E) & (radius > _INNER * theta_E)
    far = seen & (radius > _FAR * theta_E)
    noise = _measure_noise(residual[0][far])
    if bool(ring.any()) and float(residual[0][ring].square().mean()) > _POOR * noise**2:
        flags.append(POOR)
    if not bool(result.converged):
        flags.append(NOT_CONVERGED)
    if float(torch.hypot(p["gamma1"], p["gamma2"])) > _STRONG:
        flags.append(SHEAR)
    # Means of nine pixels have a third of the noise.
    peaks = 3 * box(sharpen(residual, weight > 0))[0]
    area = float((peaks[far] > _BRIGHT * noise).sum()) * data.pixel_scale**2
    if area > _LARGE:
        flags.append(NEIGHBOUR)
    edge = radius.amax() / 2**0.5
    if float(theta_E) > 0.8 * float(edge):
        flags.append(AT_EDGE)
    if _count_points(residual[0] + source[0], torch.from_numpy(data.psf).to(weight)) >= _IMAGES:
        flags.append(POINT_SOURCE)
    return flags


def _is_negative(data: LensData) -> bool:
    """True where the image goes deeper below zero than it rises above it, beyond noise."""
    maps = torch.from_numpy(np.where(np.isfinite(data.noise), data.image / data.noise, 0.0))
    # Means of nine pixels have a third of the noise.
    smooth = 3 * box(maps[None])
    lowest, highest = float(smooth.amin()), float(smooth.amax())
    return -lowest > max(highest, _DEEP)


def _measure_noise(residual: Tensor) -> float:
    """Standard deviation of residuals, from their median: objects do not count."""
    if residual.numel() < _ENOUGH:
        return 1.0
    return float(1.4826 * residual.abs().median())


def _count_points(light: Tensor, psf: Tensor) -> int:
    """Count peaks of lensed light, in sigma, that are as narrow as the PSF."""
    ky, kx = psf.shape
    core = psf[ky // 2 - 2 : ky // 2 + 3, kx // 2 - 2 : kx // 2 + 3]
    if min(core.shape) < 5 or min(light.shape) < 7:
        return 0
    wanted = _POINTED * float(core[1:4, 1:4].sum() / core.sum())
    pool = torch.nn.functional.avg_pool2d
    sums = {n: n * n * pool(light[None], n, stride=1, padding=n // 2)[0] for n in (3, 5)}
    highest = torch.nn.functional.max_pool2d(sums[3][None], 5, stride=1, padding=2)[0]
    background = torch.nn.functional.max_pool2d(-sums[3][None], 7, stride=1, padding=3)[0]
    peak = (sums[3] == highest) & (sums[3] / 3 > _PEAK)
    # What shines all around, as an arc does, is no point.
    lone = sums[3] + background > 0.9 * sums[3]
    return int((peak & lone & (sums[3] > wanted * sums[5])).sum())
