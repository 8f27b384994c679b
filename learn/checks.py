"""Checks of the input of a command, made before torch is imported, which takes seconds."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from learn.config import FinetuneConfig, PretrainConfig
from learn.run_files import DESCRIPTION, no_encoder
from learn.runs import find_encoder
from learn.tasks import task_data_needs
from learn.training.limits import check_limits
from lensphys.ground.config import read_yaml, shipped_config, suggestion
from lensphys.ground.devices import choose_device
from lensphys.ground.errors import InputError
from lensphys.ground.files import read_json
from lensphys.ground.program import program
from simulate.importers.roles import split_extension
from simulate.presets import known_presets
from simulate.shards import read_finished_manifest

_log = logging.getLogger(__name__)


def announce_torch() -> None:
    """Announce the import of torch and of what is built on it, which takes seconds."""
    if "pytorch_lightning" not in sys.modules:
        _log.info("importing torch ...")


def check_pretraining(config: PretrainConfig) -> None:
    """Refuse a pretraining that cannot run.

    Raises:
        InputError: for unknown keys of the method, data that are not there, or a device.
    """
    check_params(config.params, "pretrain", config.method, "method")
    check_limits(config)
    choose_device(config.device)
    check_pretraining_data(config)


def check_pretraining_data(config: PretrainConfig) -> None:
    """Refuse a folder without a finished data set, or without images of a class.

    Raises:
        InputError: with the command that makes one.
    """
    if config.data is None or not config.data.exists():
        raise InputError(
            f"there is no data set at {config.data or 'data: null'}; make it with `{program()} "
            f"simulate --model 2 --n 50000 --out {config.data or 'data/model2'}`"
        )
    read_finished_manifest(config.data, config.classes)


def check_finetuning(config: FinetuneConfig) -> None:
    """Refuse a fine-tuning that cannot run.

    Raises:
        InputError: for unknown keys of the task, data or an encoder that are not there, or a
            device.
    """
    check_params(config.params, "finetune", config.task, "task")
    check_limits(config)
    check_mode(config)
    choose_device(config.device)
    data = config.data or task_data_needs(config.task).find()
    check_data(data)
    if config.encoder != "none":
        check_encoder(config.encoder, ", or --encoder none")
        check_preset(config, data, read_finished_manifest(data)["config"].get("preset"))


def check_encoder(name: str, otherwise: str = "") -> None:
    """Refuse a run without a finished encoder.

    Args:
        name: as :func:`learn.runs.find_encoder` takes it.
        otherwise: what else works, for the message.

    Raises:
        InputError: for one.
    """
    folder = find_encoder(name)
    if not (folder / DESCRIPTION).is_file():
        raise no_encoder(folder, otherwise)


def check_preset(config: FinetuneConfig, data: Path, preset: object) -> None:
    """Refuse a data set of another preset than that of the encoder, unless it is allowed.

    Imported images belong to no preset.

    Args:
        config: of the fine-tuning.
        data: the data set.
        preset: its preset.

    Raises:
        InputError: for one.
    """
    if config.encoder == "none" or config.allow_other_preset:
        return
    folder = find_encoder(config.encoder)
    try:
        known = read_json(folder / DESCRIPTION)["data"]["preset"]
    except (OSError, ValueError, KeyError, TypeError):  # what loads the encoder has more to tell
        return
    presets = known_presets()
    if known in presets and preset in presets and known != preset:
        raise InputError(
            f"the encoder of {folder} was trained on the preset '{known}', and {data} is of "
            f"'{preset}'; choose another --data or --encoder, or allow it with --set "
            "allow_other_preset=true"
        )


def check_mode(config: FinetuneConfig) -> None:
    """Refuse to adapt an encoder that there is not.

    Raises:
        InputError: for one with random weights.
    """
    if config.encoder_rate < 1 and (config.mode != "full" or config.encoder == "none"):
        raise InputError(
            f"encoder_rate={config.encoder_rate:g} is for a pretrained encoder with --mode full; "
            "leave it out"
        )
    if config.mode == "lora" and config.encoder == "none":
        raise InputError(
            "--mode lora changes a pretrained encoder a little, and --encoder none has random "
            "weights; add --encoder RUN, or --mode full"
        )


def check_data(folder: Path | None) -> None:
    """Refuse a folder without a finished data set; None: none is given.

    Raises:
        InputError: for one.
    """
    if folder is not None:
        read_finished_manifest(folder)


def check_inputs(paths: list[Path], command: str = "predict") -> None:
    """Refuse inputs of a command if none of them exists.

    Raises:
        InputError: naming the first.
    """
    if not any(os.path.lexists(split_extension(path)[0]) for path in paths):
        raise InputError(f"nothing to {command}: {paths[0]}: there is no such file or folder")


def check_params(params: dict[str, Any], command: str, name: str, kind: str) -> None:
    """Refuse keys of a method or task that its shipped configuration does not have.

    Raises:
        InputError: with the nearest known key.
    """
    known = read_yaml(shipped_config(command, name, kind)).get("params", {})
    for key in params:
        if key not in known:
            raise InputError(f"params: unknown key '{key}'{suggestion(key, known)}")
