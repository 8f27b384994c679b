"""What every task shares: an encoder with a head, trained with labels, tested once."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader

from learn.config import FinetuneConfig
from learn.data import Batch, InMemory, Split, Stretch
from learn.lens_fits.channels import binned, network_input
from learn.lens_fits.parameters import Fit
from learn.networks.encoder import Backbone, Encoder
from learn.networks.head import Facts
from learn.networks.rcan import RCAN
from learn.networks.timm_backbone import VIT, TimmBackbone, TimmConfig
from learn.training.optimizer import Trained
from learn.views.symmetries import random_symmetry, turned_fit, turned_lenses, turned_prior
from lensphys.ground.config import Strict, checked
from lensphys.ground.errors import InputError
from simulate.augment.transforms import turned
from simulate.dataset.photometry import Photometry
from simulate.shards import Array, DataSet

#: On a side of a binned image.
_LEAST_PIXELS = 8


class BinnedParams(Strict):
    """What tasks whose answers are no images share."""

    # A run of an earlier version does not say; it saw the pixels as they are.
    binning: int | None = Field(
        1,
        gt=0,
        description="pixels on a side that are summed into one before the encoder sees them; null: "
        "what brings an image nearest to the size that the encoder was made for",
    )


class Task(Trained, abc.ABC):
    """A task is its head, its loss and its metrics.

    Args:
        config: of the whole run; ``config.params`` is checked against ``Params``.
        encoder: pretrained, or fresh; one of :attr:`backbones`.
        stretch: fitted to the training images.
        data: the data set, for what the head must know of it.
        train: indices of its training images.
        total_steps: length of the schedule.
    """

    config: FinetuneConfig
    exposure: Tensor

    Params: ClassVar[type[Strict]]
    #: Where the task looks for data when none is given, in this order.
    default_data: ClassVar[tuple[str, ...]]
    #: The command that makes such data.
    needs: ClassVar[str]
    #: What it can be built on.
    backbones: ClassVar[tuple[type[Backbone], ...]] = get_args(Backbone)
    #: Whether its labels are columns of the data set, which turn with the images.
    needs_params: ClassVar[bool] = False
    #: The column of a data set that the encoder sees.
    column: ClassVar[str] = "image"
    #: Whether predictions are images (B, 1, H, W), else numbers (B, n).
    makes_images: ClassVar[bool] = False

    def __init__(
        self,
        config: FinetuneConfig,
        encoder: Backbone,
        stretch: Stretch,
        data: DataSet,
        train: NDArray[np.int64],
        total_steps: int,
    ) -> None:
        super().__init__()
        self.config, self.total_steps = config, total_steps
        self.encoder, self.stretch = encoder, stretch
        if self.sees_prior:
            # For images that do not say theirs, in e-/s; NaN leaves shot noise out.
            times = data.params.get("exposure_time", np.full(len(data), math.nan))[train]
            self.register_buffer("exposure", torch.tensor(float(np.median(times))))
        if config.mode == "linear":
            # In evaluation, since the running means of a batch norm would change too.
            self.encoder.requires_grad_(False).eval()
        params = checked(self.Params, config.params, "params")
        self.binning = binning(params, encoder, self.inputs(data).shape[-1])
        self.setup_head(params, data, train)

    @property
    def sees_prior(self) -> bool:
        """Whether the encoder is shown what a fit leaves of its images."""
        return getattr(self.encoder.config, "prior", None) is not None

    @classmethod
    def fresh_backbone(cls, config: FinetuneConfig, image_size: int) -> Backbone:
        """The backbone that a configuration names, with random weights.

        Raises:
            InputError: for one that there is not, or that the task cannot use.
        """
        if config.backbone == VIT:
            return Encoder(config.scratch_encoder)
        if config.backbone == RCAN:
            raise InputError(f"--backbone {RCAN} enlarges images: it is for --task superres alone")
        return TimmBackbone(TimmConfig(backbone=config.backbone, image_size=image_size))

    @classmethod
    @abc.abstractmethod
    def serves(cls, data_config: dict[str, Any]) -> bool:
        """Whether a data set with this configuration has what the task needs."""

    @classmethod
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        """The images (N, 1, H, W) that the encoder will see.

        Raises:
            InputError: where the data set lacks what the task needs.
        """
        return data.image

    @classmethod
    def resolved(
        cls, params: Any, data: DataSet, train: NDArray[np.int64], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        """The parameters with what is left to the data filled in; ``warn`` takes notes.

        Raises:
            InputError: where the training images lack what the parameters ask for.
        """
        return params.model_dump(mode="json")  # type: ignore[no-any-return]

    @classmethod
    def must_match(cls, data: DataSet) -> dict[str, Any]:
        """What any data set must have in common with that of the training, to be tested on."""
        keys = ("pixel_scale", "unit")
        return {"image_size": list(data.image.shape[-2:])} | {key: data.attrs[key] for key in keys}

    @abc.abstractmethod
    def setup_head(self, params: Any, data: DataSet, train: NDArray[np.int64]) -> None:
        """Build the head, with buffers for whatever :meth:`calibrate` finds."""

    @abc.abstractmethod
    def predict_batch(self, batch: Batch) -> Tensor:
        """Predictions of a batch."""

    @abc.abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss that is minimised."""

    @abc.abstractmethod
    def validation_score(self, batch: Batch) -> Tensor:
        """What the best epoch is chosen by: the lower, the better."""

    def calibrate(self, predictions: Tensor, data: DataSet, split: Split) -> None:
        """Fit the baseline to the training images, and what is left to the validation images.

        All of it goes into buffers, and so into the weights that are saved.

        Args:
            predictions: of the validation images.
            data: the data set.
            split: of it.
        """

    @abc.abstractmethod
    def measure(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Metrics of the predictions for the images ``rows``, beside the baseline's."""

    def measure_fit(
        self, memory: InMemory, data: DataSet, rows: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Metrics of what the fit alone says of the images ``rows``, where the head builds on it.

        Args:
            memory: the data set as it is served.
            data: the data set.
            rows: indices of images.
        """
        return {}

    @property
    def facts(self) -> Facts | None:
        """The part of the head that is told of fits, where there is one."""
        return next((part for part in self.modules() if isinstance(part, Facts)), None)

    def know_fits(self, fit: Fit, train: Tensor) -> Fit:
        """Take from the fits of the training images what is usual, and the units of facts.

        Args:
            fit: of all images.
            train: indices of the training images.

        Returns:
            The fits of all images, compared with what is usual where the head is told of that.
        """
        facts = self.facts
        if facts is None:
            return fit
        facts.population.learn(fit.rows(train))
        # What is usual need not be the same in all directions: compared first, then turned.
        fit = facts.population.compared(fit)
        facts.standardise(fit.rows(train), turned=self.config.augment)
        return fit

    def detail(
        self, fit: Fit, shape: tuple[int, int], photometry: Callable[[str], Photometry]
    ) -> Tensor | None:
        """Of :attr:`learn.data.Batch.detail`, for fits of N images; None where it is not wanted.

        Args:
            fit: of the images.
            shape: theirs, in pixels.
            photometry: of a column of the data set.
        """
        return None

    @abc.abstractmethod
    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
    ) -> None:
        """Draw the figures of what was measured into a folder."""

    def records(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Columns and attributes of ``predictions.h5``, beside the index and label of an image."""
        return {"prediction": predictions.numpy()}, {}

    def table(self, predictions: Tensor) -> dict[str, NDArray[Any]]:
        """Predictions (N, n) as named columns (N,), for whoever reads them without the program."""
        columns = predictions.flatten(1).numpy().T
        return {f"prediction_{i}": column for i, column in enumerate(columns)}

    def seen(self, batch: Batch) -> Tensor:
        """What the encoder is given: binned and stretched, with a lens prior where it wants one."""
        image = batch.image_lr if self.column == "image_lr" else batch.image
        assert image is not None
        if batch.prior is not None:
            image = network_input(image, batch.prior)
        stretched: Tensor = self.stretch(binned(image, self.binning))
        return stretched

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.config.augment:
            batch = _turned(batch)
        loss = self.loss(batch)
        size = len(batch.label)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=size)
        self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=size)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        score = self.validation_score(batch)
        self.log("val_loss", score, prog_bar=True, batch_size=len(batch.label))

    @torch.inference_mode()
    def predict_all(self, batches: DataLoader[Batch]) -> Tensor:
        """Predictions of all batches, on the CPU."""
        self.eval()
        parts = []
        for batch in batches:
            moved = self.transfer_batch_to_device(batch, self.device, 0)
            parts.append(self.predict_batch(moved).float().cpu())
        return torch.cat(parts)


def binning(params: Strict, encoder: Backbone, size: int) -> int:
    """How many pixels on a side of an image an encoder sees as one.

    Args:
        params: of the task.
        encoder: that sees them.
        size: pixels on a side of the images.

    Raises:
        InputError: where hardly anything would be left of an image.
    """
    wanted = params.binning if isinstance(params, BinnedParams) else 1
    if wanted is None:
        # Other backbones than a vision transformer are made for the size of the images.
        made_for = encoder.config.image_size if isinstance(encoder, Encoder) else size
        return max(1, round(size / made_for))
    if wanted > 1 and size // wanted < _LEAST_PIXELS:
        raise InputError(
            f"params.binning = {wanted} leaves {size // wanted} pixels on a side of {size}; "
            f"{size // _LEAST_PIXELS} is the most"
        )
    return wanted


def _turned(batch: Batch) -> Batch:
    """Each image under a symmetry of the square, with all that belongs to it."""
    symmetry = random_symmetry(len(batch.image), batch.image.device)
    image, params, low = batch.image, batch.params, None
    if params is not None:
        image, params = turned_lenses(image, params, symmetry)
    else:
        image = turned(image, symmetry)
        low = None if batch.image_lr is None else turned(batch.image_lr, symmetry)
    prior = None if batch.prior is None else turned_prior(batch.prior, symmetry)
    fit = None if batch.fit is None else turned_fit(batch.fit, symmetry)
    detail = None if batch.detail is None else turned(batch.detail, symmetry)
    return Batch(image, batch.label, low, params, prior, fit, detail)
