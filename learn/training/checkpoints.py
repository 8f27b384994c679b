"""Checkpoints of a training run: written whole or not at all, and refused where they do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing

#: The checkpoint that a run goes on from.
LAST = "last.ckpt"
#: The key of a checkpoint that names its module.
_KIND = "lensphys_kind"


class Checkpoint(ModelCheckpoint):
    """A checkpoint that names the module it is of."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_KIND] = _kind(module)
        super().on_save_checkpoint(trainer, module, checkpoint)


class WholeCheckpoints(TorchCheckpointIO):
    """Files of checkpoints that replace the one before when they are on the disk, and not sooner.

    Lightning's own writes to the folder of temporary files. From another file system it is copied
    over the one before, and lost with it where the copy is interrupted.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            InputError: if there is no room for it; the one before is kept.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                torch.save(checkpoint, temporary)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as either of the two
            reason = error.strerror if isinstance(error, OSError) else "the disk may be full"
            raise InputError(
                f"cannot write {path}: {reason}; make room and run the same command again to go on"
            ) from None


def check_checkpoint(path: Path, module: pl.LightningModule) -> None:
    """Refuse a checkpoint that cannot be read or does not fit.

    Raises:
        InputError: saying which.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        kind = checkpoint[_KIND]
        shapes = {name: value.shape for name, value in checkpoint["state_dict"].items()}
    except (pickle.UnpicklingError, OSError, EOFError, RuntimeError, KeyError, ValueError):
        raise InputError(f"{path} is truncated or damaged; delete it to start again") from None
    if kind != _kind(module):
        raise InputError(
            f"{path} is a checkpoint of {kind}, not of {_kind(module)}; choose another --out"
        )
    if shapes != {name: value.shape for name, value in module.state_dict().items()}:
        raise InputError(f"{path} is a checkpoint of another architecture; choose another --out")


def _kind(module: pl.LightningModule) -> str:
    return type(module).__name__
