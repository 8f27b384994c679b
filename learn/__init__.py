"""Self-supervised pretraining on simulated lenses, and the tasks that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learn.inference.model import Model


def load_model(folder: str | Path) -> Model:
    """The network in the folder of a finished fine-tuning run, or in one that it was exported to.

    Returns:
        A module: fluxes (B, ny, nx) in, predictions out.

    Raises:
        InputError: for a folder without a finished run, or damaged files.
    """
    from learn.inference.model import load_model  # torch is not needed before

    return load_model(folder)


__all__ = ["load_model"]
