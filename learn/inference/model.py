"""A fine-tuned network as it is used: fluxes in, predictions out, without its training data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learn.config import FinetuneConfig, PriorConfig
from learn.data import Batch, Stretch
from learn.lens_fits.channels import prior_of_images, shines
from learn.networks.encoder import DESCRIPTION, described_encoder, load_weights
from learn.runs import CONFIG, METRICS
from learn.tasks import task_class
from learn.tasks.base import Task
from lensphys.ground.config import load_config, read_yaml
from lensphys.ground.errors import InputError
from simulate.dataset.photometry import Photometry
from simulate.shards import DataSet, read

MODEL = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class DataDescription:
    """What a network must know of the data set that it was trained on."""

    attrs: dict[str, Any]
    """of the shards: ``label_names``, ``pixel_scale``, ``unit`` and the rest"""
    config: dict[str, Any]
    """that the data set was made from"""
    images: int
    """how many there are, test images included"""
    sizes: dict[str, int]
    """pixels on a side, by column"""
    params: list[str]


def describe(data: DataSet) -> DataDescription:
    """The description of a data set."""
    sizes = {"image": data.image.shape[-1]}
    if data.image_lr is not None:
        sizes["image_lr"] = data.image_lr.shape[-1]
    return DataDescription(data.attrs, data.config, len(data), sizes, list(data.params))


class Model(nn.Module):
    """A task with its weights.

    Attributes:
        task: with its encoder and head.
        data: what it was trained on.
        folder: of the run.
    """

    def __init__(self, task: Task, data: DataDescription, folder: Path) -> None:
        super().__init__()
        self.task, self.data, self.folder = task, data, folder

    @property
    def size(self) -> int:
        """Pixels on a side of the images it was trained on."""
        return self.data.sizes[self.task.column]

    @property
    def pixel_scale(self) -> float:
        """arcsec, of the images it was trained on."""
        low = self.task.column == "image_lr"
        return float(self.data.attrs["pixel_scale_lr" if low else "pixel_scale"])

    @property
    def unit(self) -> str:
        """Of the fluxes it was trained on."""
        return str(self.data.attrs.get("unit", "unknown"))

    @property
    def label_names(self) -> list[str]:
        """Names of the classes of its data set."""
        return [str(name) for name in self.data.attrs["label_names"]]

    def forward(
        self, images: Tensor | NDArray[Any], exposure: NDArray[np.float64] | None = None
    ) -> Tensor:
        """Predictions: probabilities (B, classes), numbers (B, n), or images (B, 1, H, W).

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
        return self.task.predict_batch(self._with_prior(Batch(flux, label, flux), exposure))

    def _with_prior(self, batch: Batch, exposure: NDArray[np.float64] | None) -> Batch:
        """A batch with its lens prior, where the encoder wants it: a lens is fitted to each image.

        PSF and background noise are those of the training data.
        """
        config: PriorConfig | None = getattr(self.task.encoder.config, "prior", None)
        if config is None:
            return batch
        usual = np.full(len(batch.image), self.task.exposure.item())
        times = usual if exposure is None else np.where(exposure > 0, exposure, usual)

        def photometry(column: str) -> Photometry:
            data = self.data
            return Photometry.known(data.attrs, times, column, str(self.folder), data.config)

        known, lens_light = photometry(self.task.column), shines(self.data.config)
        channels, fit = prior_of_images(batch.image, known, config, lens_light=lens_light)
        shape = (batch.image.shape[-2], batch.image.shape[-1])
        detail = self.task.detail(fit, shape, photometry)
        return batch._replace(prior=channels, fit=fit, detail=detail)


def load_model(folder: str | Path) -> Model:
    """The network in the folder of a finished fine-tuning run, or in one that it was exported to.

    It is in evaluation and its weights are frozen.

    Raises:
        InputError: for a folder without a finished run, or damaged files.
    """
    folder = Path(folder)
    config = finished_config(folder)
    encoder, data = _described(folder)
    if data is None:  # a run of an earlier version
        assert config.data is not None
        data = describe(read(config.data))
    weights = folder / MODEL
    if not weights.is_file():
        raise InputError(f"{weights} is missing; run its finetune command again")
    stand_in = _stand_in(folder, data)
    everything = np.arange(len(stand_in))
    task = task_class(config.task)(
        config,
        described_encoder(encoder, str(folder / DESCRIPTION)),
        Stretch(config.stretch.kind),
        stand_in,
        everything,
        1,
    )
    load_weights(task, weights)
    return Model(task, data, folder).eval().requires_grad_(False)


def finished_config(folder: Path) -> FinetuneConfig:
    """The configuration of a finished fine-tuning run.

    Raises:
        InputError: where there is none.
    """
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"{folder} is not a run; give the folder of a finished `python cli.py finetune` run"
        )
    if "method" in read_yaml(folder / CONFIG):
        raise InputError(
            f"{folder} is a pretrain run, which predicts nothing by itself; fine-tune it first: "
            f"`python cli.py finetune --task classify --encoder {folder}`"
        )
    config = load_config(FinetuneConfig, folder / CONFIG)
    if not (folder / METRICS).is_file():
        raise InputError(
            f"{folder} is not finished; run its finetune command again to finish it: `python "
            f"cli.py finetune --config {folder / CONFIG} --task {config.task} --out {folder}`"
        )
    return config


def _described(folder: Path) -> tuple[dict[str, Any], DataDescription | None]:
    """The configuration of the encoder, and the training data, where the run is not too old."""
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        data = DataDescription(**content["data"]) if "data" in content else None
        return dict(content["encoder"]), data
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is missing or damaged; run its finetune command again") from None


def _stand_in(folder: Path, data: DataDescription) -> DataSet:
    """A data set of ones of the same form; what a head learns from the true one is in its weights.

    One image a class, and two at least, so that nothing divides by zero.
    """
    n = max(2, len(data.attrs["label_names"]))
    images = {name: np.ones((n, 1, size, size), np.float32) for name, size in data.sizes.items()}
    label = np.arange(n) % len(data.attrs["label_names"])
    params = {name: np.linspace(0.0, 1.0, n) for name in data.params}
    return DataSet(
        folder, images["image"], label, params, images.get("image_lr"), data.attrs, data.config
    )
