"""The form in which an encoder sees images, and its place in the description of the encoder."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor, nn

from learn.data import Stretch
from learn.data_description import DataDescription, describe
from learn.lens_fits.channels import bin_stack, stack_channels
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.lens_fitting import LensFitting
from learn.networks.encoder import Encoder
from learn.views.middle import bin_middle
from lensphys.ground.errors import InputError
from simulate.shards import DataSet

#: Keys of the description of an encoder: the constants of its input, and the form of its data.
_INPUT, _DATA = "input", "training_data"


class EncoderInput(nn.Module):
    """Turns fluxes, and lens fits where the encoder sees them, into the input of an encoder.

    Args:
        stretch: of the fluxes.
        lens_fitting: the part that fits lenses; None where the encoder sees images alone.
        binning: pixels on a side that are summed into one.
        column: of a data set that the encoder sees: ``image`` or ``image_lr``.
        side: pixels on a side of the middle that it sees, once they are summed; None: all of them.
    """

    def __init__(
        self,
        stretch: Stretch,
        lens_fitting: LensFitting | None,
        binning: int = 1,
        column: str = "image",
        side: int | None = None,
    ) -> None:
        super().__init__()
        self.stretch, self.lens_fitting = stretch, lens_fitting
        self.binning, self.column, self.side = binning, column, side

    def forward(self, flux: Tensor, fits: LensFits | None) -> Tensor:
        """Input (B, C, h, w) of the encoder, from fluxes (B, 1, H, W) and the fits of B images."""
        channels = None if fits is None else fits.channels
        assert channels is None or isinstance(channels, Tensor)
        most = min(flux.shape[-2:]) // self.binning
        stack = stack_channels(flux, channels)
        if self.side is None or self.side > most:
            stack = bin_stack(stack, self.binning)
        else:
            stack = bin_middle(stack, self.side, self.binning)
        stretched: Tensor = self.stretch(stack)
        return stretched


def describe_input(stretch: Stretch, exposure: float, data: DataSet) -> dict[str, Any]:
    """Describe the input of a pretrained encoder, for its ``encoder.json``.

    Args:
        stretch: of the fluxes.
        exposure: median exposure time of the training images, s; NaN where they have none.
        data: that it was trained on.
    """
    constants = {name: float(value) for name, value in stretch.named_buffers()}
    constants["exposure"] = exposure
    # JSON has no NaN.
    known = {name: value if math.isfinite(value) else None for name, value in constants.items()}
    return {_INPUT: known, _DATA: dataclasses.asdict(describe(data))}


def read_input(
    description: dict[str, Any], encoder: Encoder, where: str
) -> tuple[EncoderInput, DataDescription]:
    """Restore the input of a pretrained encoder, and the form of its data, from its description.

    Args:
        description: the content of its ``encoder.json``.
        encoder: the network.
        where: the description comes from, for the message.

    Raises:
        InputError: for a description of an earlier version, or a damaged one.
    """
    config = getattr(encoder.config, "lens_fit", None)
    fitting = None if config is None else LensFitting(config, "image")
    try:
        stretch = Stretch(str(description["stretch"]["kind"]))
        constants = dict(description[_INPUT])
        for name, value in stretch.named_buffers():
            value.copy_(torch.tensor(float(constants[name])))
        if fitting is not None and constants["exposure"] is not None:
            fitting.exposure.copy_(torch.tensor(float(constants["exposure"])))
        data = DataDescription(**description[_DATA])
        binning = description["binning"]
        side = None if binning is None else encoder.config.image_size
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{where} does not hold the form of the images of its encoder, as one of an earlier "
            "version; run its pretrain command again with a new --out"
        ) from None
    return EncoderInput(stretch, fitting, binning or 1, side=side), data
