"""A fine-tuned network as it is used: fluxes in, predictions out, without its training data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learn.data import Batch, Stretch
from learn.data_description import DataDescription
from learn.inference.model_file import restore
from learn.inference.network import Network
from learn.lens_fits.lens_fits import LensFits
from learn.run_files import METRICS, unfinished
from learn.tasks.base import Task
from simulate.dataset.padding import check_padding
from simulate.dataset.photometry import Optics


class Model(Network):
    """A task with its weights.

    Attributes:
        task: with its encoder and head.
        data: the form of the data that it was trained on.
        folder: folder of the run.
    """

    def __init__(self, task: Task, data: DataDescription, folder: Path) -> None:
        super().__init__(task.config.task, data, folder)
        self.task, self.makes_images = task, task.makes_images

    @property
    def column(self) -> str:
        """The column of a data set that it sees: ``image`` or ``image_lr``."""
        return self.task.column

    @property
    def flux_stretch(self) -> Stretch:
        """The stretch of its fluxes."""
        return self.task.stretch

    @property
    def surface_brightness(self) -> bool:
        """True where its images hold flux per solid angle, False where they hold flux per pixel."""
        return self.task.of_surface_brightness(self.data)

    def forward(
        self, images: Tensor | NDArray[Any], exposure: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Predictions: probabilities (B, classes), numbers (B, n), or images (B, 1, H, W).

        Where the encoder sees lens fits, a lens is fitted to each image, with the PSF and the
        background noise of the training data.

        Args:
            images: flux per pixel (B, 1, ny, nx), (B, ny, nx) or (ny, nx); they are stretched here.
            exposure: total exposure times (B,), s, which count where a lens is fitted to the
                images; None, or NaN: the median of the training images.
        """
        return self.task.predict_batch(self.prepare(images, exposure))

    def prepare(
        self,
        images: Tensor | NDArray[Any],
        exposure: NDArray[np.float64] | None = None,
        optics: Sequence[Optics] | None = None,
        padding: NDArray[np.int64] | None = None,
    ) -> Batch:
        """Images as the task takes them, with lens fits where its encoder sees them.

        Args:
            images, exposure: see :meth:`forward`.
            optics: PSF and noise of each image; None: those of the training data.
            padding: (B, 4) around the images, see :func:`simulate.dataset.padding.read_padding`,
                which does not count where a lens is fitted; None without. Where ``optics`` are
                given, their noise maps mask it.

        Raises:
            ValueError: for padding that is not four whole numbers for each image.
        """
        softening = self.task.stretch.softening
        flux = torch.as_tensor(images, dtype=softening.dtype, device=softening.device)
        if flux.ndim < 4:
            flux = flux.view(-1, 1, *flux.shape[-2:])
        padding = None if padding is None else check_padding(padding, len(flux))
        label = torch.zeros(flux.shape[0], dtype=torch.int64, device=flux.device)
        batch = Batch(flux, label, flux)
        if self.task.lens_fitting is None:
            return batch
        times = np.full(len(flux), np.nan) if exposure is None else exposure
        fit = partial(self.task.fit_loose, data=self.data, where=str(self.folder))
        if optics is None:
            return batch._replace(fits=fit(flux, exposure=times, padding=padding))
        # A fit has one PSF.
        fits = (
            fit(flux[i : i + 1], exposure=times[i : i + 1], optics=own)
            for i, own in enumerate(optics)
        )
        return batch._replace(fits=LensFits.join([one for one in fits if one is not None]))


def load_model(folder: str | Path) -> Model:
    """The network in the folder of a finished fine-tuning run, or in one that it was exported to.

    It is in evaluation and its weights are frozen.

    Raises:
        InputError: for a folder without a finished run, or damaged files.
    """
    folder = Path(folder)
    task, data = restore(folder)
    if not (folder / METRICS).is_file():
        raise unfinished(folder, task.config.task)
    return Model(task, data, folder).eval().requires_grad_(False)
