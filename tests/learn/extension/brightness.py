"""The task ``brightness``: the logarithm of the flux of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from learn.data import Batch
from learn.data_description import DataDescription
from learn.lens_fits.lens_fits import LensFits
from learn.reporting.task_report import Baseline, TaskReport
from learn.tasks.base import Task
from learn.tasks.data_needs import DataNeeds
from lensphys.ground.config import Strict
from simulate.dataset.figures import save_figure
from simulate.shards import DataSet


class Brightness(Task):
    """A linear layer on the features, beside the same number for all images."""

    data_needs = DataNeeds(("data/model2",), "--model 2 --n 1000", lambda config: True)
    report = TaskReport(
        baseline=Baseline("median", "the median image"),
        headline={"error": "error in dex"},
        labels={"error": "mean error of log10 flux"},
        formats={"error": "{:.2f} dex"},
        captions={"brightness": "Predicted against true flux."},
    )

    class Params(Strict):
        """Parameters of the task."""

    def build_head(self, params: Params, data: DataDescription) -> None:
        self.head = nn.Linear(self.encoder.width, 1)

    def predict_batch(self, batch: Batch) -> Tensor:
        features = self.encoder.features(self.encoder_input(batch))
        return self.head(features)[:, 0]  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> Tensor:
        return F.mse_loss(self.predict_batch(batch).float(), _flux(batch.image))

    def validation_score(self, batch: Batch) -> Tensor:
        return self.loss(batch)

    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        truth = _flux(torch.from_numpy(data.image[rows]))
        return {
            "error": float((predictions - truth).abs().mean()),
            "median_error": float((truth.median() - truth).abs().mean()),
        }

    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
        fits: LensFits | None = None,
    ) -> None:
        figure = Figure()
        figure.subplots().plot(_flux(torch.from_numpy(data.image[rows])), predictions, ".")
        save_figure(figure, folder / "brightness.png")


def _flux(images: Tensor) -> Tensor:
    return images.sum((1, 2, 3)).clamp_min(1e-6).log10().float()
