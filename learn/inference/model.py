"""A fine-tuned network as it is used: fluxes in, predictions out, without its training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learn.data import Batch
from learn.data_description import DataDescription
from learn.inference.model_file import restore
from learn.run_files import METRICS, unfinished
from learn.tasks.base import Task

#: Largest flux in units of the noise level of the training images, and in any unit.
_RANGE, _LARGEST = 1e15, 1e30


class Model(nn.Module):
    """A task with its weights.

    Attributes:
        task: with its encoder and head.
        data: the form of the data that it was trained on.
        folder: folder of the run.
    """

    def __init__(self, task: Task, data: DataDescription, folder: Path) -> None:
        super().__init__()
        self.task, self.data, self.folder = task, data, folder

    @property
    def size(self) -> int:
        """Pixels on a side of the images it was trained on."""
        return self.data.side(self.task.column)

    @property
    def pixel_scale(self) -> float:
        """Width of a pixel of the images it was trained on, arcsec."""
        low = self.task.column == "image_lr"
        return float(self.data.attrs["pixel_scale_lr" if low else "pixel_scale"])

    @property
    def unit(self) -> str:
        """Unit of the fluxes it was trained on."""
        return str(self.data.attrs.get("unit", "unknown"))

    @property
    def surface_brightness(self) -> bool:
        """True where its images hold flux per solid angle, False where they hold flux per pixel."""
        return self.task.of_surface_brightness(self.data)

    @property
    def factor(self) -> int:
        """Pixels of the images it makes along a side of one that it was given."""
        return self.data.side("image") // self.size if self.task.makes_images else 1

    @property
    def largest(self) -> float:
        """Largest flux that it works with: squares of more overflow; no camera counts as far."""
        return min(_RANGE * self.softening, _LARGEST)

    @property
    def softening(self) -> float:
        """Flux by which images are divided first: their noise level, or a part of their peak."""
        return float(self.task.stretch.softening)

    @property
    def label_names(self) -> list[str]:
        """Names of the classes of its data set."""
        return self.data.label_names

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
        softening = self.task.stretch.softening
        flux = torch.as_tensor(images, dtype=softening.dtype, device=softening.device)
        if flux.ndim < 4:
            flux = flux.view(-1, 1, *flux.shape[-2:])
        label = torch.zeros(flux.shape[0], dtype=torch.int64, device=flux.device)
        batch = Batch(flux, label, flux)
        if self.task.lens_fitting is not None:
            times = np.full(len(flux), np.nan) if exposure is None else exposure
            fits = self.task.fit_loose(flux, self.data, times, str(self.folder))
            batch = batch._replace(fits=fits)
        return self.task.predict_batch(batch)


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
