"""Field of an image that is fitted: the lens and its arcs, without what else is there."""

from __future__ import annotations

import numpy as np
import torch

import lensphys as lp
from learn.modelling.lens_data import LensData
from lensphys.fitting.linear.binning import bin_images
from lensphys.fitting.linear.components import Sky
from lensphys.fitting.linear.light_start import sharpen, subtract_light
from lensphys.fitting.linear.seeds import measure_arcs
from lensphys.rendering import Pixels
from lensphys.threads import side_by_side

#: Radii, arcsec, that are tried one after another, until the arcs are well inside.
FIELDS = (3.2, 5.0, 8.0, 12.0)
_INSIDE = 0.8
#: Fewest pixels from the centre to the edge.
_FEWEST = 16


@side_by_side()
def choose_field(data: LensData) -> float:
    """Choose the radius, arcsec, about the centre that holds the arcs around a lens.

    Args:
        data: image, noise and PSF of a lens.
    """
    most = float(0.5 * data.pixel_scale * min(data.image.shape))
    for field in FIELDS:
        if field >= most or field < _FEWEST * data.pixel_scale:
            continue
        if _measure(data.within(field)) < _INSIDE * field:
            return field
    return most


def _measure(data: LensData) -> float:
    """Radius of the arcs, arcsec."""
    usual = float(np.median(data.noise[np.isfinite(data.noise)]))
    image, noise, kernel = (
        torch.from_numpy(maps).float()
        for maps in (data.image / usual, data.noise / usual, data.psf)
    )
    ny, nx = image.shape
    x, y = lp.pixel_grid((ny, nx), data.pixel_scale, dtype=torch.float32)
    psf = lp.PixelPSF(kernel, pixel_scale=data.pixel_scale, normalise=True)
    weight = torch.where(torch.isfinite(noise), 1 / noise, 0.0)
    images, weights, pixels = bin_images(image[None], weight[None], Pixels(x, y, psf=psf))
    with torch.no_grad():
        light = subtract_light(images, weights, pixels, Sky(pixels, 5))
        arcs = sharpen(images - light.model, weights > 0)
        centre = (light.params[f"lens_light_center_{axis}"][:, None, None] for axis in "xy")
        x, y = (v - at for v, at in zip(pixels.centers, centre, strict=True))
        return float(measure_arcs(arcs, light.weight, x, y))
