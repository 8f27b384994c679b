"""The base of every task: an encoder with a head, trained with labels, tested once."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from learn.config import FinetuneConfig
from learn.data import Batch, InMemory, Stretch
from learn.data_description import DataDescription
from learn.lens_fits.channels import bin_stack, stack_channels
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.lens_fitting import LensFitting
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import Backbone
from learn.networks.head import Head
from learn.networks.rcan import RCAN
from learn.networks.size import VIT
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from learn.reporting.task_report import TaskReport
from learn.splits import Split
from learn.tasks.binning import find_binning
from learn.tasks.data_needs import DataNeeds
from learn.tasks.intervals import Measures
from learn.tasks.outliers import OutlierTest
from learn.training.optimizer import Trained
from learn.views.symmetries import random_symmetry, turn_fits, turn_lenses
from lensphys.ground.config import Strict, validate
from lensphys.ground.errors import InputError
from simulate.augment.transforms import turn_images
from simulate.dataset.padding import mark_padding
from simulate.dataset.photometry import Optics, Photometry
from simulate.importers.units import is_surface_brightness
from simulate.shards import Array, DataSet


class Task(Trained, abc.ABC):
    """A task is its head, its loss and its metrics.

    A task is built from its configuration, its encoder and the form of its data alone. What it
    learns of the training images, by :meth:`learn_data`, :meth:`learn_fits`, training and
    :meth:`calibrate`, is in its weights and buffers, and so in the file that is saved.

    Args:
        config: of the whole run; ``config.params`` is checked against ``Params``.
        encoder: pretrained, or fresh; one of :attr:`backbones`.
        data: the form of the data set.
        total_steps: length of the schedule.
    """

    config: FinetuneConfig

    Params: ClassVar[type[Strict]]
    #: The form in which its results are shown.
    report: ClassVar[TaskReport] = TaskReport()
    #: The data sets that serve it.
    data_needs: ClassVar[DataNeeds]
    #: Networks that it can be built on.
    backbones: ClassVar[tuple[type[Backbone], ...]] = get_args(Backbone)
    #: True where its labels are columns of the data set, which turn with the images.
    needs_params: ClassVar[bool] = False
    #: The column of a data set that the encoder sees.
    column: ClassVar[str] = "image"
    #: True where an image whose prediction is NaN counts as wrong; else it is left out of metrics.
    judges_all: ClassVar[bool] = False
    #: True where all images should show a lens, so that others are flagged.
    of_lenses: ClassVar[bool] = True
    #: True where predictions are images (B, 1, H, W), else they are numbers (B, n).
    makes_images: ClassVar[bool] = False

    def __init__(
        self,
        config: FinetuneConfig,
        encoder: Backbone,
        data: DataDescription,
        total_steps: int = 1,
    ) -> None:
        super().__init__()
        self.config, self.total_steps = config, total_steps
        self.encoder, self.stretch = encoder, Stretch(config.stretch.kind)
        wanted = getattr(encoder.config, "lens_fit", None)
        self.lens_fitting = None if wanted is None else LensFitting(wanted, self.column)
        if config.mode == "linear":
            # In evaluation, since the running means of a batch norm would change too.
            self.encoder.requires_grad_(False).eval()
        params = validate(self.Params, config.params, "params")
        self.binning = find_binning(params, encoder, data.side(self.column))
        self.outliers: OutlierTest | None = None
        if config.false_flags is not None:
            self.outliers = OutlierTest(encoder.width, sees_fits=wanted is not None)
        self.build_head(params, data)

    def rates(self) -> dict[str, float]:
        rate = self.config.encoder_rate
        return {"encoder": rate} if rate < 1 else {}

    @classmethod
    def make_backbone(cls, config: FinetuneConfig, image_size: int) -> Backbone:
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
    def inputs(cls, data: DataSet) -> NDArray[np.float32]:
        """The images (N, 1, H, W) that the encoder will see.

        Raises:
            InputError: if the data set lacks what the task needs.
        """
        return data.image

    @classmethod
    def resolve_params(
        cls, params: Any, data: DataSet, train: NDArray[np.int64], warn: Callable[[str], None]
    ) -> dict[str, Any]:
        """The parameters with what is left to the data filled in; ``warn`` takes notes.

        Raises:
            InputError: if the training images lack what the parameters ask for.
        """
        return params.model_dump(mode="json")  # type: ignore[no-any-return]

    @classmethod
    def must_match(cls, data: DataDescription) -> dict[str, Any]:
        """Properties that a data set must share with that of the training, to be tested on."""
        keys = ("pixel_scale", "unit")
        return {"image_size": data.shapes["image"]} | {key: data.attrs[key] for key in keys}

    def of_surface_brightness(self, data: DataDescription) -> bool:
        """True where the images that it was trained on hold flux per solid angle, not per pixel."""
        return is_surface_brightness(data.attrs.get("unit")) is True

    def check_data(self, data: DataSet) -> None:
        """Refuse a data set that lacks what the task is tested on.

        Raises:
            InputError: for one.
        """
        self.inputs(data)

    @abc.abstractmethod
    def build_head(self, params: Any, data: DataDescription) -> None:
        """Build the head, with buffers for the constants that it takes from the data."""

    def learn_data(self, data: DataSet, train: NDArray[np.int64]) -> None:
        """Take the constants that the network needs from the training images, into buffers."""
        seen = self.inputs(data)
        images = torch.from_numpy(mark_padding(data, train) if seen is data.image else seen[train])
        self.stretch = Stretch.of_images(bin_stack(images, self.binning), self.config.stretch)
        if self.lens_fitting is not None:
            self.lens_fitting.learn(data, train)

    def learn_fits(self, fits: LensFits, train: Tensor) -> LensFits:
        """Take the constants of the head from the lens fits of the training images.

        Args:
            fits: of all images.
            train: indices of the training images.

        Returns:
            The fits of all images, as the head needs them.
        """
        return fits

    @abc.abstractmethod
    def predict_batch(self, batch: Batch) -> Tensor:
        """Predictions of a batch."""

    @abc.abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The loss that is minimised."""

    @abc.abstractmethod
    def validation_score(self, batch: Batch) -> Tensor:
        """The score by which the best epoch is chosen: the lower, the better."""

    def calibrate(
        self, predictions: Tensor, data: DataSet, split: Split, fits: LensFits | None = None
    ) -> None:
        """Fit the baselines to the training images, and what is left to the validation images.

        All of it goes into buffers, and so into the weights that are saved.

        Args:
            predictions: of the validation images.
            data: the data set.
            split: its split into training, validation and test images.
            fits: lens fits of all images, where the encoder sees them.
        """

    @abc.abstractmethod
    def measure(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        fits: LensFits | None = None,
    ) -> dict[str, Any]:
        """Metrics of the predictions for the images ``rows``, beside those of the baselines.

        Args:
            predictions: for these images.
            data: the data set.
            rows: indices of images.
            fits: lens fits of these images, without channels, where the encoder sees them.
        """

    def parts(self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]) -> Measures | None:
        """Headline measures of some of the images ``rows``, for intervals; None without any.

        Args:
            predictions: for these images.
            data: the data set.
            rows: indices of images.
        """
        return None

    def add_detail(
        self, fits: LensFits, shape: tuple[int, int], photometry: Callable[[str], Photometry]
    ) -> LensFits:
        """Add :attr:`LensFits.detail` where the task builds on it.

        Args:
            fits: of N images.
            shape: theirs, in pixels.
            photometry: of a column of the data set.
        """
        return fits

    @abc.abstractmethod
    def draw(
        self,
        predictions: Tensor,
        data: DataSet,
        rows: NDArray[np.int64],
        metrics: dict[str, Any],
        folder: Path,
        fits: LensFits | None = None,
    ) -> None:
        """Draw the figures of what was measured into a folder.

        Args:
            predictions: for these images.
            data: the data set.
            rows: indices of images.
            metrics: of the predictions.
            folder: to draw into.
            fits: lens fits of these images, without channels, where the encoder sees them.
        """

    def records(
        self, predictions: Tensor, data: DataSet, rows: NDArray[np.int64]
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Columns and attributes of ``predictions.h5``, beside the index and label of an image."""
        return {"prediction": predictions.numpy()}, {}

    def table(self, predictions: Tensor) -> dict[str, NDArray[Any]]:
        """Predictions (N, n) as named columns (N,), for readers without the program."""
        columns = predictions.flatten(1).numpy().T
        return {f"prediction_{i}": column for i, column in enumerate(columns)}

    @property
    def units(self) -> dict[str, str]:
        """Units of the columns of :meth:`table`, by name, as far as they have one."""
        return {}

    def load(self, data: DataSet, device: str, *, with_params: bool = False) -> InMemory:
        """Hold a data set in memory, with the lens fits of its images where the encoder sees them.

        Args:
            data: the data set.
            device: to fit lenses on.
            with_params: the columns of the data set too.

        Raises:
            InputError: for a data set that does not state what a fit needs.
        """
        fits = None
        if self.lens_fitting is not None:
            fits = self.lens_fitting.fit_data_set(data, device)
            ny, nx = self.inputs(data).shape[-2:]
            fits = self.add_detail(fits, (ny, nx), functools.partial(Photometry.of, data))
        return InMemory(data, with_params=with_params, fits=fits)

    def fit_loose(
        self,
        images: Tensor,
        data: DataDescription,
        exposure: NDArray[np.float64],
        where: str,
        optics: Optics | None = None,
        padding: NDArray[np.int64] | None = None,
    ) -> LensFits | None:
        """Lens fits of images (B, 1, H, W) that belong to no data set; None where none are needed.

        Args:
            images: flux per pixel.
            data: that the network was trained on; PSF and background noise are taken from it.
            exposure: (B,) exposure times, s; NaN where they are not known.
            where: the network comes from, for error messages.
            optics: PSF and noise of the image, if it is one alone with its own.
            padding: (B, 4) of the images, see :func:`simulate.dataset.padding.read_padding`.
        """
        part = self.lens_fitting
        if part is None:
            return None
        photometry = functools.partial(part.photometry, data, exposure, where=where)
        known = photometry(column=self.column, padding=padding)
        known = known if optics is None else known.with_optics(optics)
        fits = part.fit_images(images, known, data)
        shape = (images.shape[-2], images.shape[-1])
        return self.add_detail(fits, shape, lambda column: photometry(column=column))

    def encoder_input(self, batch: Batch) -> Tensor:
        """Images as the encoder sees them: stretched, binned, and with channels where it has them.

        Shape (B, 1, h, w), or (B, 7, h, w) with channels.
        """
        image = batch.image_lr if self.column == "image_lr" else batch.image
        assert image is not None
        stack = stack_channels(image, batch.channels)
        stretched: Tensor = self.stretch(bin_stack(stack, self.binning))
        return stretched

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.config.augment:
            batch = _turn(batch)
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


class FeatureTask(Task):
    """A task whose head is linear in features of an image, and of its lens fit where it sees it.

    The features of an image are the mean of the tokens of a vision transformer.
    """

    head: Head

    def outputs(self, batch: Batch) -> Tensor:
        """Outputs (B, n) of the head."""
        features = self.encoder.features(self.encoder_input(batch))
        return self.head(features, batch.fits)  # type: ignore[no-any-return]

    def learn_fits(self, fits: LensFits, train: Tensor) -> LensFits:
        return self.head.learn_fits(fits, train, turned=self.config.augment)


def _turn(batch: Batch) -> Batch:
    """Turn and flip each image at random, with all that belongs to it."""
    symmetry = random_symmetry(len(batch.image), batch.image.device)
    image, params, low = batch.image, batch.params, None
    if params is not None:
        image, params = turn_lenses(image, params, symmetry)
    else:
        image = turn_images(image, symmetry)
        low = None if batch.image_lr is None else turn_images(batch.image_lr, symmetry)
    fits = None if batch.fits is None else turn_fits(batch.fits, symmetry)
    return Batch(image, batch.label, low, params, fits)
