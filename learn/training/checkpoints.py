"""Checkpoints of a training run: written whole or not at all, and refused where they do not fit."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from lensphys.ground.errors import InputError
from lensphys.ground.files import cannot_write, check_readable, replacing

#: The checkpoint that a run goes on from.
LAST = "last.ckpt"
#: The key of a checkpoint that names its module.
_KIND = "lensphys_kind"


class Checkpoint(ModelCheckpoint):
    """A checkpoint that names the module it is of, in a folder that may be moved."""

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[_KIND] = _kind(module)
        super().on_save_checkpoint(trainer, module, checkpoint)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score where a folder has been moved, and would remove a file
        # outside of it that a checkpoint names. All files of ours lie in one folder.
        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        names = ("best_model_path", "kth_best_model_path", "last_model_path")
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(
            state_dict
            | {name: here(state_dict[name]) for name in names}
            | {"best_k_models": best, "dirpath": self.dirpath}
        )


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
            number = error.errno if isinstance(error, OSError) else None
            if not os.access(path.parent, os.W_OK):
                number = errno.EACCES
            raise cannot_write(path, number, "the disk may be full") from None


def check_checkpoint(path: Path, module: pl.LightningModule) -> None:
    """Refuse a checkpoint that cannot be read or does not fit.

    Raises:
        InputError: saying which.
    """
    checkpoint = _read(path)
    try:
        kind = checkpoint[_KIND]
        shapes = {name: value.shape for name, value in checkpoint["state_dict"].items()}
    except (LookupError, TypeError, AttributeError):
        raise _damaged(path) from None
    if kind != _kind(module):
        raise InputError(
            f"{path} is a checkpoint of {kind}, not of {_kind(module)}; choose another --out"
        )
    if shapes != {name: value.shape for name, value in module.state_dict().items()}:
        raise InputError(f"{path} is a checkpoint of another architecture; choose another --out")


def load_checkpoint(path: Path, module: pl.LightningModule) -> None:
    """Give a module the weights in a checkpoint.

    Raises:
        InputError: for one that is missing, damaged, or does not fit.
    """
    checkpoint = _read(path)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except (LookupError, TypeError, AttributeError, RuntimeError):
        raise _damaged(path) from None


def _read(path: Path) -> Any:
    check_readable(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing; delete {path.parent} and run the same command again to train anew"
        ) from None
    except (pickle.UnpicklingError, OSError, EOFError, RuntimeError, LookupError, ValueError):
        raise _damaged(path) from None


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is truncated or damaged; delete {path.parent} to start again")


def _kind(module: pl.LightningModule) -> str:
    return type(module).__name__
