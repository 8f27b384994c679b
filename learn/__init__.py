"""Self-supervised pretraining on simulated lenses, and the tasks that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from learn.inference.loaded_encoder import LoadedEncoder
    from learn.inference.model import Model


def load_model(run: str | Path, network: str | None = None) -> Model:
    """The network in the folder of a finished fine-tuning run, or in one that it was exported to.

    Args:
        run: the folder, or ``"default"`` for a network that ships with the package.
        network: which of those, ``"find"`` say; None: the classifier.

    Returns:
        A module: fluxes (B, ny, nx) in, predictions out.

    Raises:
        InputError: for a folder without a finished run, or damaged files.
    """
    from learn.inference.model import load_model  # torch is not needed before
    from learn.weights.shipped import find_run

    return load_model(find_run(run, network))


def load_encoder(run: str | Path) -> LoadedEncoder:
    """The encoder of a pretraining or fine-tuning run, or of an export.

    Args:
        run: its folder; ``"latest"`` for the last finished pretraining, or ``"default"`` for what
            ships with the package.

    Returns:
        A module whose ``features(images)`` turns fluxes (B, ny, nx) into features (B, D).

    Raises:
        InputError: for a folder without a finished encoder, or damaged files.
    """
    from learn.inference.loaded_encoder import load_encoder  # torch is not needed before

    return load_encoder(run)


__all__ = ["load_encoder", "load_model"]
