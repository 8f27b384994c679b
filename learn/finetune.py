"""Fine-tune an encoder for a task, and test it once on images it has never seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch

from learn.checks import check_mode, check_preset
from learn.config import FinetuneConfig
from learn.data import BatchIndices, InMemory, loader, training_batches
from learn.data_description import describe
from learn.inference.model_file import save_model
from learn.inference.testing import measure_rows, predict_rows, take_first, write_results
from learn.networks.encoder_files import Backbone, describe_encoder, load_encoder, save_encoder
from learn.networks.lora import add_low_rank, merge_low_rank
from learn.networks.size import VIT, check_batch
from learn.networks.trial import check_network
from learn.reporting.figures.training import draw_curves
from learn.run_files import CHECKPOINTS, METRICS
from learn.runs import find_encoder, run_folder
from learn.splits import Split, published_parts, split_for
from learn.tasks import task_class
from learn.tasks.base import Task
from learn.tasks.judging import judge_rows, learn_ordinary
from learn.training.checkpoints import Checkpoint, load_checkpoint
from learn.training.limits import check_limits, trained_encoder
from learn.training.loop import Stop, resolve, train
from learn.training.processes import process_rank
from learn.weights.shipped import DEFAULT
from lensphys.ground.config import validate
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.shards import DataSet

#: Name of the checkpoint with the best validation score.
_BEST = "best"


def finetune(
    config: FinetuneConfig, warn: Callable[[str], None] = lambda line: None
) -> tuple[Path, bool]:
    """Fine-tune and test.

    Args:
        config: configuration of the run.
        warn: takes lines about what the data set does not allow.

    Returns:
        The folder of the run, and whether there was anything left to do.

    Raises:
        InputError: for bad input.
    """
    check_limits(config)
    config = _find_inputs(resolve(config))
    kind = task_class(config.task)
    data = _read_data(config)
    follows = config.published_split and bool(published_parts(data))
    config = config.model_copy(update={"published_split": follows})
    assert config.data is not None
    images = kind.inputs(data)
    check_preset(config, config.data, data.attrs.get("preset"))
    pretrained = _load_pretrained(config, kind)
    parts = split_for(data, config)
    # One note is enough, where several processes train.
    note = warn if not process_rank(config) else lambda line: None
    params = validate(kind.Params, config.params, "params")
    resolved = kind.resolve_params(params, data, parts.train, note)
    config = config.model_copy(update={"params": resolved})
    batches = training_batches(parts.train, config)
    steps = config.optimizer.epochs * -(-len(batches) // config.optimizer.accumulate)
    if (fresh := trained_encoder(config)) and config.device == "cpu":
        check_batch(*fresh, min(batches.share_size, len(parts.train)))
    pl.seed_everything(config.seed, verbose=False)
    size = images.shape[-1] // (resolved.get("binning") or 1)
    encoder = pretrained or kind.make_backbone(config, size)
    build = partial(kind, config, encoder, describe(data), steps)
    check_network(build, f"the networks of {config.task}", "make the sizes in params smaller")
    task = build()
    if config.lora:
        add_low_rank(task.encoder, config.lora)
    with run_folder(config, config.task, METRICS, data.digest) as (folder, finished):
        if finished:
            return folder, False
        task.learn_data(data, parts.train)
        memory = task.load(data, config.device, with_params=kind.needs_params)
        if memory.fits is not None:
            memory.fits = task.learn_fits(memory.fits, torch.from_numpy(parts.train))
        _train(task, memory, batches, parts, folder)
        merge_low_rank(task.encoder)
        if not process_rank(config):
            _test(task, data, memory, parts, folder)
    return folder, True


def _read_data(config: FinetuneConfig) -> DataSet:
    """The images to train and test on.

    Raises:
        InputError: if the first so many would leave out published parts.
    """
    assert config.data is not None
    data = shards.read(config.data)
    some = take_first(data, config.max_images)
    if config.published_split and len(some) < len(data) and published_parts(data):
        raise InputError(
            f"max_images={config.max_images} would leave out published parts of {config.data}; use "
            "--labels-per-class, or --set published_split=false"
        )
    return some


def _find_inputs(config: FinetuneConfig) -> FinetuneConfig:
    """The configuration with the folders of data and encoder.

    Raises:
        InputError: if there are none.
    """
    kind = task_class(config.task)
    validate(kind.Params, config.params, "params")
    check_mode(config)
    fresh = config.encoder == "none"
    if config.backbone != VIT and not fresh:
        raise InputError(
            f"--backbone {config.backbone} is trained from scratch: add --encoder none (the "
            "backbone of a pretrained encoder is known)"
        )
    data = config.data or kind.data_needs.find()
    if not fresh and config.encoder != DEFAULT:  # what ships has a name, wherever it lies
        config = config.model_copy(update={"encoder": str(find_encoder(config.encoder))})
    return config.model_copy(update={"data": data})


def _load_pretrained(config: FinetuneConfig, kind: type[Task]) -> Backbone | None:
    """The pretrained encoder; None for a network from scratch.

    Raises:
        InputError: for an encoder that the task cannot use.
    """
    if config.encoder == "none":
        return None
    pretrained = load_encoder(find_encoder(config.encoder))
    if not isinstance(pretrained, kind.backbones):
        raise InputError(
            f"{config.task} needs tokens or maps of an image, which the encoder of "
            f"{config.encoder} has not; choose another --encoder"
        )
    return pretrained


def _train(task: Task, memory: InMemory, batches: BatchIndices, parts: Split, folder: Path) -> None:
    """Train a task, and leave it with the weights of its best epoch."""
    config = task.config
    size = 2 * config.optimizer.batch_size
    validation = BatchIndices(parts.validation, size, shuffle=False)
    best = Checkpoint(
        folder / CHECKPOINTS,
        filename=_BEST,
        monitor="val_loss",
        save_weights_only=True,
        enable_version_counter=False,
    )
    stop = Stop("val_loss", patience=config.patience)
    validated = loader(memory, validation)
    train(task, config, folder, loader(memory, batches), validated, (stop, best))
    if process_rank(config):
        return
    load_checkpoint(folder / CHECKPOINTS / f"{_BEST}.ckpt", task)


def _test(task: Task, data: DataSet, memory: InMemory, parts: Split, folder: Path) -> None:
    """Calibrate and test a trained task, and write all that a run leaves.

    Raises:
        InputError: for a task whose training has diverged.
    """
    config = task.config
    draw_curves(folder, title=f"{config.task} on {config.data}")
    found = predict_rows(task, parts.validation, memory)
    if not found.isfinite().all():
        raise InputError(
            "the training has diverged: its predictions are no numbers; use a smaller "
            "optimizer.base_lr and another --out"
        )
    task.calibrate(found, data, parts, memory.fits)
    learn_ordinary(task, memory, parts)
    predictions = predict_rows(task, parts.test, memory)
    judged = judge_rows(task, parts.test, memory)
    metrics = measure_rows(task, predictions, data, parts.test, memory, judged)
    save_model(task, describe(data), folder)
    save_encoder(task.encoder, folder, describe_encoder(config, data.attrs, task.encoder))
    write_results(task, predictions, data, parts.test, memory, metrics, folder, judged)
