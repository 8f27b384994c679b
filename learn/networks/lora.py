"""Low-rank adaptation of a pretrained encoder (LoRA; Hu et al. 2021, arXiv:2106.09685).

Written here, on torch's parametrizations: peft would bring transformers and accelerate with it, and
leaves modules of its own in the network, which the files of an encoder have no place for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from learn.config import LoraConfig
from lensphys.ground.errors import InputError

#: The parameter of a layer that is changed.
_WEIGHT = "weight"


class LowRank(nn.Module):
    """A weight (out, in) plus ``alpha / rank`` times the product of two thin matrices (eq. 3).

    The product is 0 at first, so that an adapted network starts as the one it was.
    """

    def __init__(self, weight: Tensor, config: LoraConfig) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.scale = config.alpha / config.rank
        self.down = nn.Parameter(weight.new_empty(config.rank, inputs))
        self.up = nn.Parameter(weight.new_zeros(outputs, config.rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))  # as the weights of a linear layer

    def forward(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


def add_low_rank(encoder: nn.Module, config: LoraConfig) -> None:
    """Freeze an encoder, and let low-rank changes of its linear layers be trained.

    Args:
        encoder: pretrained.
        config: rank and scale of the changes, and the layers that they are made to.

    Raises:
        InputError: for an encoder without such layers, or a rank that is no low one.
    """
    linear = {name: part for name, part in encoder.named_modules() if isinstance(part, nn.Linear)}
    chosen = {
        name: layer
        for name, layer in linear.items()
        if any(f".{name}".endswith(f".{wanted}") for wanted in config.layers)
    }
    for wanted in config.layers:
        if not any(f".{name}".endswith(f".{wanted}") for name in chosen):
            known = ", ".join(sorted({_kind(name) for name in linear})) or "none"
            raise InputError(
                f"--mode lora: the encoder has no linear layers called {wanted}; lora.layers may "
                f"hold: {known}"
            )
    # In evaluation, since the running means of a batch norm would change too.
    encoder.requires_grad_(False).eval()
    for name, layer in chosen.items():
        if config.rank >= min(layer.weight.shape):
            raise InputError(
                f"lora.rank = {config.rank} is no low rank: {name} has "
                f"{layer.in_features} inputs and {layer.out_features} outputs"
            )
        parametrize.register_parametrization(layer, _WEIGHT, LowRank(layer.weight, config))


def merge_low_rank(encoder: nn.Module) -> None:
    """Add the low-rank changes to the weights of an encoder, which is then what it was before."""
    for layer in encoder.modules():
        if parametrize.is_parametrized(layer, _WEIGHT):
            parametrize.remove_parametrizations(layer, _WEIGHT, leave_parametrized=True)


def _kind(name: str) -> str:
    """The name of a layer without that of the block it is in."""
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[numbers[-1] + 1 :] if numbers else parts) or name
