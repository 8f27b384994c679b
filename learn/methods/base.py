"""What every self-supervised method shares: encoder, input, optimiser and logging."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import pytorch_lightning as pl
from torch import Tensor
from torch.optim import Optimizer

from learn.backbone import Encoder
from learn.config import PretrainConfig
from learn.data import Batch, Stretch
from learn.optimizer import adamw_with_cosine
from learn.views import random_d4
from simulate.config import Strict, checked


class Method(pl.LightningModule, abc.ABC):
    """A method is its loss: subclasses turn stretched images into one, and name their parameters.

    Args:
        config: of the whole run; ``config.params`` is checked against ``Params``.
        stretch: fitted to the training images.
        total_steps: length of the schedule.
    """

    Params: ClassVar[type[Strict]]

    def __init__(self, config: PretrainConfig, stretch: Stretch, total_steps: int) -> None:
        super().__init__()
        self.config, self.total_steps = config, total_steps
        self.stretch = stretch
        self.encoder = Encoder(config.encoder)
        self.setup_method(checked(self.Params, config.params, "params"))

    @abc.abstractmethod
    def setup_method(self, params: Any) -> None:
        """Build what the method needs beside the encoder."""

    @abc.abstractmethod
    def loss(self, image: Tensor) -> dict[str, Tensor]:
        """Losses of stretched images (B, 1, H, W): ``loss``, and whatever else is worth a curve."""

    @property
    def exported(self) -> Encoder:
        """The encoder to keep at the end."""
        return self.encoder

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        image = self.stretch(batch.image)
        if self.config.augment:
            (image,) = random_d4(image)
        losses = self.loss(image)
        named = {f"train_{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=len(image))
        self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False)
        return losses["loss"]

    def configure_optimizers(self) -> tuple[list[Optimizer], list[dict[str, Any]]]:
        return adamw_with_cosine(self, self.config.optimizer, self.total_steps)
