"""The base of every self-supervised method: encoder, views, optimiser and logging."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from torch import Tensor

from learn.config import PretrainConfig
from learn.data import Batch, Stretch
from learn.lens_fits.channels import stack_channels
from learn.lens_fits.draws import DrawSettings
from learn.networks.encoder import Encoder
from learn.training.optimizer import Trained
from learn.views.jitter import jitter_images
from learn.views.middle import bin_middle
from learn.views.symmetries import random_symmetry, turn_channels
from lensphys.ground.config import Strict, validate
from lensphys.ground.errors import InputError
from simulate.augment.transforms import turn_images


class Method(Trained, abc.ABC):
    """A method is its loss: subclasses turn views of images into one, and name their parameters.

    Args:
        config: of the whole run; ``config.params`` is checked against ``Params``.
        stretch: fitted to the training images.
        total_steps: length of the schedule.
    """

    config: PretrainConfig

    Params: ClassVar[type[Strict]]
    #: The fewest images that a process must have in a batch for the loss to mean something.
    smallest_batch: ClassVar[int] = 1
    #: True where its views may be stacks with the channels of lens fits.
    sees_fits: ClassVar[bool] = False
    #: Number of views of each image that ``loss`` takes.
    views: int = 1

    def __init__(self, config: PretrainConfig, stretch: Stretch, total_steps: int) -> None:
        super().__init__()
        self.config, self.total_steps = config, total_steps
        self.stretch = stretch
        self.encoder = Encoder(config.encoder)
        self.setup_method(validate(self.Params, config.params, "params"))

    @classmethod
    def check(cls, config: PretrainConfig, params: Any) -> None:
        """Refuse a configuration that the method cannot work with.

        Raises:
            InputError: for one.
        """
        if config.encoder.lens_fit and not cls.sees_fits:
            raise InputError(f"{config.method} sees images alone; set encoder.lens_fit=null")

    @abc.abstractmethod
    def setup_method(self, params: Any) -> None:
        """Build what the method needs beside the encoder."""

    @abc.abstractmethod
    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        """Losses of ``views`` stretched views (B, 1, H, W) of the same images.

        Returns:
            ``loss``, and others that are drawn as curves.
        """

    @classmethod
    def draws(cls, params: Any) -> DrawSettings | None:
        """Groups of unknown masses that it needs beside the lens fits; None for none."""
        return None

    @property
    def exported(self) -> Encoder:
        """The encoder to keep at the end."""
        return self.encoder

    @property
    def views_per_image(self) -> float:
        """Views of each image that an epoch shows; a window of an image counts by its area."""
        return float(self.views)

    def blind_losses(self, batch: int) -> dict[str, float]:
        """Losses, by name, of a network that sees no difference between the images of a batch.

        A loss at this value means that the network has collapsed, or has not begun to learn.
        """
        return {}

    def view(self, batch: Batch, symmetry: Tensor | None = None) -> Tensor:
        """A random view of images, stretched, with the channels of their lens fits if any.

        Args:
            batch: of B images.
            symmetry: (B,) by which they are turned; None for one at random.
        """
        image, channels = batch.image, batch.channels
        if self.config.augment:
            if symmetry is None:
                symmetry = random_symmetry(len(image), image.device)
            image = turn_images(image, symmetry)
            channels = None if channels is None else turn_channels(channels, symmetry)
            image = jitter_images(image, self.config.jitter, self.stretch.softening)
        return self.see(stack_channels(image, channels))

    def see(self, stack: Tensor) -> Tensor:
        """Images, with the channels of their lens fits if any, as the encoder sees them."""
        config = self.config
        middle = bin_middle(stack, config.encoder.image_size, config.binning or 1)
        stretched: Tensor = self.stretch(middle)
        return stretched

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch, as :meth:`loss`."""
        return self.loss(*(self.view(batch) for _ in range(self.views)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        losses = self.losses(batch)
        named = {f"train_{name}": value.detach() for name, value in losses.items()}
        several = self.config.processes > 1
        size = len(batch.image)
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=size, sync_dist=several)
        self.log("loss", losses["loss"].detach(), prog_bar=True, logger=False)
        return losses["loss"]
