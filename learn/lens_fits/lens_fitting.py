"""The part of a task that fits lenses to its images: to a data set, or to loose images."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learn.config import LensFitConfig
from learn.data_description import DataDescription
from learn.lens_fits.fit_model import FitModel
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.solve import fit_loose_images
from learn.lens_fits.store import fit_data_set
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet


class LensFitting(nn.Module):
    """Lens fits for the encoder of a task.

    Args:
        config: of the fits, as the encoder sees them.
        column: of a data set, that lenses are fitted to.
    """

    exposure: Tensor
    """median exposure time of the training images, s, for images that do not state theirs; NaN
    leaves shot noise out"""

    def __init__(self, config: LensFitConfig, column: str) -> None:
        super().__init__()
        self.config, self.column = config, column
        self.register_buffer("exposure", torch.tensor(math.nan))

    def learn(self, data: DataSet, train: NDArray[np.int64]) -> None:
        """Take the median exposure time of the training images."""
        self.exposure.copy_(torch.tensor(median_exposure(data, train)))

    def fit_data_set(self, data: DataSet, device: str) -> LensFits:
        """Lens fits of a data set.

        Raises:
            InputError: for a data set that does not state what a fit needs.
        """
        return fit_data_set(data, self.config, self.column, device)

    def photometry(
        self,
        data: DataDescription,
        exposure: NDArray[np.float64],
        column: str,
        where: str,
        padding: NDArray[np.int64] | None = None,
    ) -> Photometry:
        """Photometry of images like those of a data set.

        Args:
            data: that the network was trained on.
            exposure: (B,) exposure times, s; NaN where they are not known.
            column: ``image`` or ``image_lr``.
            where: the images come from, for error messages.
            padding: (B, 4) of images, see :func:`simulate.dataset.padding.read_padding`.
        """
        times = np.where(exposure > 0, exposure, self.exposure.item())
        known = Photometry.known(data.attrs, times, column, where, data.config)
        return dataclasses.replace(known, padding=padding)

    def fit_images(self, images: Tensor, photometry: Photometry, data: DataDescription) -> LensFits:
        """Lens fits of images (B, 1, H, W) that belong to no data set."""
        model = FitModel.of(data.config, self.config)
        return fit_loose_images(images, photometry, self.config, model)


def median_exposure(data: DataSet, rows: NDArray[np.int64]) -> float:
    """Median exposure time of some images of a data set, s; NaN where it has none."""
    times = data.params.get("exposure_time", np.full(len(data), math.nan))[rows]
    return float(np.median(times))
