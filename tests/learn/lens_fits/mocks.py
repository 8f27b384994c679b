"""Mock lenses with noise, and their fits, that the searches for masses are tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.maps import measure_response
from lensphys import fit
from lensphys.detection.absorption import Absorption, linearise
from lensphys.fitting.result import FitResult
from tests.lensphys.fitting.mocks import KIND, draw, image_of, noise_like

#: Peak of the images over the noise of a pixel.
PEAK = 40.0


def fitted(
    shape: tuple[int, int] = (32, 32), count: int = 2, noise: float = 1.0, **settings: Any
) -> FitResult:
    """Lenses with noise, fitted from the truth."""
    truth = draw(count, seed=5)
    clean = image_of(truth, shape)
    sigma = clean.amax((1, 2), keepdim=True) / PEAK
    images = clean + noise * sigma * noise_like(clean, 6)
    settings = {"start": truth} | KIND | settings
    return fit(images, sigma.expand_as(clean).clone(), **settings)


def searched(result: FitResult) -> tuple[Absorption, Tensor]:
    """First-order models of fits, and the response of their images."""
    table = torch.stack([result.params[name] for name in result.names], -1).detach()
    index = torch.arange(len(table))
    near = linearise(result.problem, result.problem.bounds.inverse(table, index), index)
    return near, measure_response(near, result.problem.pixels.take(index))


def channel(fits: LensFits, name: str, axis: int = 0) -> NDArray[np.float64]:
    """A channel (N, H, W) of fits; of two maps the first (0) or the second (1)."""
    channels = fits.rows(slice(None)).channels
    assert isinstance(channels, Tensor)
    return CHANNELS.split(channels)[name][:, axis].double().numpy()
