"""The file of a trained task: its weights, and in their header the form of its data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from learn.data_description import DataDescription
from learn.networks.encoder_files import (
    LENS_FITS,
    WEIGHTS,
    build_encoder,
    check_lens_fits,
    describe_lens_fits,
    load_weights,
    read_weights,
    save_weights,
)
from learn.run_files import MODEL, read_run_config
from learn.tasks import task_class
from learn.tasks.base import Task
from learn.weights.shipped import ENCODER
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_readable, sha256

#: The key of the header under which the description of the weights stands.
HEADER = "lensphys"
#: The key of that description with the digest of the encoder that several networks share.
SHARED = "shared_encoder"


class TrainedTask(NamedTuple):
    """A task with its weights, and the form of the data that it was trained on."""

    task: Task
    data: DataDescription


def save_model(task: Task, data: DataDescription, folder: Path) -> None:
    """Write ``model.safetensors``; its header holds all that is needed to use it again."""
    header = {
        "encoder": task.encoder.config.model_dump(mode="json"),
        "must_match": task.must_match(data),
        "data": dataclasses.asdict(data),
        LENS_FITS: describe_lens_fits(task.encoder),
    }
    save_weights(task, folder / MODEL, {HEADER: json.dumps(header)})


def restore(folder: Path) -> TrainedTask:
    """Restore the task of a fine-tuning run, or of its export, from configuration and weights.

    Raises:
        InputError: for a folder without a trained task, or damaged files.
    """
    config = read_run_config(folder)
    path = folder / MODEL
    header = read_header(path)
    try:
        data = DataDescription(**header["data"])
        encoder = dict(header["encoder"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} is of an earlier version; run its finetune command again with a new --out"
        ) from None
    check_lens_fits(encoder, header.get(LENS_FITS), folder)
    backbone = build_encoder(encoder, str(path))
    task = task_class(config.task)(config, backbone, data)
    load_weights(task, path, _read_shared(folder, header))
    if not all(weight.isfinite().all() for weight in task.parameters()):
        raise InputError(
            f"{path} holds weights that are no numbers: its training has diverged; run its "
            "finetune command again with a lower --set optimizer.base_lr and a new --out"
        )
    return TrainedTask(task, data)


def shared_encoder(folder: Path) -> Path:
    """The weights of the encoder that the networks in the folders beside share."""
    return folder.parent / ENCODER / WEIGHTS


def _read_shared(folder: Path, header: dict[str, Any]) -> dict[str, Tensor]:
    """Read the weights of a shared encoder, by their names in the task; none where none is shared.

    Raises:
        InputError: for an encoder that is not there, or another one.
    """
    digest = header.get(SHARED)
    if digest is None:
        return {}
    path = shared_encoder(folder)
    if not path.is_file() or sha256(path) != digest:
        raise InputError(
            f"{folder / MODEL} needs the encoder that was packed with it in {path}, which is "
            f"{'another' if path.is_file() else 'not there'}; install the package again"
        )
    return {f"encoder.{name}": value for name, value in read_weights(path).items()}


def read_header(path: Path) -> dict[str, Any]:
    """Read the description in the header of the file of a trained task; empty where it has none.

    Raises:
        InputError: for a damaged file.
    """
    check_readable(path)
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get(HEADER, "{}"))
    except (SafetensorError, OSError, ValueError):
        raise InputError(
            f"{path} cannot be read as safetensors; it is damaged: run its finetune command again "
            "with a new --out"
        ) from None
    return header
