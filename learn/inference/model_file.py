"""The file of a trained task: its weights, and in their header the form of its data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from learn.config import FinetuneConfig
from learn.data_description import DataDescription
from learn.networks.encoder_files import build_encoder, load_weights
from learn.run_files import CONFIG
from learn.tasks import task_class
from learn.tasks.base import Task
from lensphys.ground.config import checked, read_yaml
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing

MODEL = "model.safetensors"
#: The key of the header under which the description of the weights stands.
_HEADER = "lensphys"


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
    }
    weights = {name: value.cpu().contiguous() for name, value in task.state_dict().items()}
    with replacing(folder / MODEL) as path:
        save_file(weights, path, metadata={_HEADER: json.dumps(header)})


def restore(folder: Path) -> TrainedTask:
    """Restore the task of a fine-tuning run, or of its export, from configuration and weights.

    Raises:
        InputError: for a folder without a trained task, or damaged files.
    """
    config = read_run_config(folder)
    path = folder / MODEL
    header = _read_header(path)
    try:
        data = DataDescription(**header["data"])
        encoder = dict(header["encoder"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path} is of an earlier version; run its finetune command again with a new --out"
        ) from None
    task = task_class(config.task)(config, build_encoder(encoder, str(path)), data)
    load_weights(task, path)
    return TrainedTask(task, data)


def read_run_config(folder: Path) -> FinetuneConfig:
    """Read the configuration of a fine-tuning run that has left its weights.

    Raises:
        InputError: where there is none.
    """
    path = folder / CONFIG
    values = read_yaml(path) if path.is_file() else {}
    if "method" in values:
        raise InputError(
            f"{folder} is a pretrain run, which predicts nothing by itself; fine-tune it first: "
            f"`python cli.py finetune --task classify --encoder {folder}`"
        )
    if "task" not in values:
        raise InputError(
            f"{folder} is not a run; give the folder of a finished fine-tuning run, or make one "
            "with `python cli.py finetune`"
        )
    if not (folder / MODEL).is_file():
        raise unfinished(folder, values["task"])
    return checked(FinetuneConfig, values, str(path))


def unfinished(folder: Path, task: str) -> InputError:
    """The error for a run that was interrupted."""
    return InputError(
        f"{folder} is not finished; run its finetune command again to finish it: `python cli.py "
        f"finetune --config {folder / CONFIG} --task {task} --out {folder}`"
    )


def _read_header(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
    except (SafetensorError, OSError, ValueError):
        raise InputError(
            f"{path} cannot be read as safetensors; it is damaged: run its finetune command again "
            "with a new --out"
        ) from None
    return header
