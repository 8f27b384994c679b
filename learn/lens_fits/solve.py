"""Fit a smooth lens to each image (:func:`lensphys.fit`), without labels."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import torch
from torch import Tensor

from learn.config import LensFitConfig
from learn.lens_fits import sersic_fits, shapelet_fits
from learn.lens_fits.channels import BOX
from learn.lens_fits.collect import DrawRequest
from learn.lens_fits.draws import DrawSettings
from learn.lens_fits.fit_model import FitModel
from learn.lens_fits.lens_fits import LensFits
from simulate.dataset.photometry import Photometry

#: Changes with the meaning of what is in the files.
VERSION = 5


def fit_loose_images(
    images: Tensor, photometry: Photometry, config: LensFitConfig, model: FitModel
) -> LensFits:
    """Lens fits of images (B, 1, H, W) that belong to no data set, on the device of the images."""
    fits = fit_images(images[:, 0], photometry, config, model).to(images.device)
    assert isinstance(fits.channels, Tensor)
    return dataclasses.replace(fits, channels=fits.channels.to(images))


def recipe(
    photometry: Photometry,
    config: LensFitConfig,
    model: FitModel,
    draws: DrawSettings | None = None,
) -> str:
    """All that the fit of an image depends on, but the image."""
    optics = dataclasses.asdict(photometry)
    del optics["rate"], optics["exposure"], optics["padding"]
    if photometry.psf_beta is None:  # files of Gaussian PSFs do not name it
        del optics["psf_beta"]
    settings: dict[str, Any] = {"steps": config.steps, "high_pass": config.residual == "high-pass"}
    if model.shapelets:
        fixed = (shapelet_fits.STEPS, shapelet_fits.POOR, shapelet_fits.PATCH)
        orders = (config.source_order, shapelet_fits.FIRST_ORDER, shapelet_fits.STEEPNESS)
        settings |= {"source_order": orders, "shapelets": fixed}
    constants = [VERSION, sersic_fits.POOR, sersic_fits.FLAT, sersic_fits.LARGE, BOX]
    what = [constants, optics, settings, dataclasses.asdict(model)]
    return json.dumps([*what, draws and dataclasses.asdict(draws)], sort_keys=True)


@torch.no_grad()
def fit_images(
    images: Tensor,
    photometry: Photometry,
    config: LensFitConfig,
    model: FitModel,
    draws: DrawRequest | None = None,
) -> LensFits:
    """Lens fits of images (B, H, W), with their channels in half precision, on the CPU.

    Args:
        images: in their own unit.
        photometry: of the images.
        config: of the fits.
        model: kind of lens and source.
        draws: groups of masses to be drawn beside the fits; None for none.
    """
    flux = images * torch.from_numpy(photometry.rate).to(images)[:, None, None]
    if model.shapelets:
        return shapelet_fits.fit_shapelets(flux, photometry, config, model.lens_light, draws)
    return sersic_fits.fit_sersics(flux, photometry, config, model.lens_light, draws)
