"""Networks built without memory, to learn how much they need."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from learn.networks.size import TRAINED
from lensphys.ground.errors import InputError
from lensphys.ground.room import check_memory


def check_network(build: Callable[[], nn.Module], what: str, advice: str) -> None:
    """Refuse a network that is larger than memory.

    Args:
        build: makes it. On the device that is called meta, tensors have a shape and nothing else.
        what: of the network, in the plural: "the projector and encoder of simclr".
        advice: what to do about it.

    Raises:
        InputError: with both numbers of bytes; also as ``build`` does.
    """
    need = count_bytes(build)
    if need is not None:
        check_memory(need, what, advice)


def count_bytes(build: Callable[[], nn.Module]) -> int | None:
    """Bytes that a network takes in training; None where it cannot be built without memory."""
    try:
        # Numbers drawn for nothing would change those that follow.
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            module = build()
    except (InputError, MemoryError):
        raise
    except Exception:  # an initialisation that reads numbers: those of a few networks of timm do
        return None
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    frozen = [p for p in module.parameters() if not p.requires_grad]
    kept = sum(each.numel() * each.element_size() for each in (*frozen, *module.buffers()))
    return TRAINED * trained + kept
