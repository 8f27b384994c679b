"""Fine-tune an encoder for a task, and test it once on images it has never seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from learn.config import FinetuneConfig
from learn.data import BatchIndices, Stretch, loader, split, training_batches
from learn.inference.evaluate import (
    first_images,
    measured,
    predicted,
    save_model,
    served,
    write_results,
)
from learn.inference.model import describe
from learn.lens_fits.channels import binned
from learn.networks.encoder import load_encoder, save_encoder
from learn.networks.timm_backbone import VIT
from learn.reporting.figures import draw_curves
from learn.runs import METRICS, find_encoder, run_folder
from learn.tasks import task_class
from learn.tasks.base import Task, binning
from learn.training.loop import Stop, fit, resolve
from learn.training.processes import process_rank
from lensphys.ground.config import checked
from lensphys.ground.errors import InputError
from simulate import shards


def finetune(
    config: FinetuneConfig, warn: Callable[[str], None] = lambda line: None
) -> tuple[Path, bool]:
    """Fine-tune and test.

    Args:
        config: of the run.
        warn: takes lines about what the data set does not allow.

    Returns:
        The folder of the run, and whether there was anything left to do.

    Raises:
        InputError: for bad input.
    """
    config = resolve(config)
    task = task_class(config.task)
    params = checked(task.Params, config.params, "params")
    fresh = config.encoder == "none"
    if config.backbone != VIT and not fresh:
        raise InputError(
            f"--backbone {config.backbone} is trained from scratch: add --encoder none (the "
            "backbone of a pretrained encoder is known)"
        )
    config = config.model_copy(
        update={
            "data": config.data or _default_data(task),
            "encoder": "none" if fresh else str(find_encoder(config.encoder)),
        }
    )
    assert config.data is not None
    data = first_images(shards.read(config.data), config.max_images)
    images = task.inputs(data)
    pretrained = None if fresh else load_encoder(Path(config.encoder))
    if pretrained and not isinstance(pretrained, task.backbones):
        raise InputError(
            f"{config.task} needs tokens or maps of an image, which the encoder of "
            f"{config.encoder} has not; choose another --encoder"
        )
    parts = split(
        data.label,
        data.label_names,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        labels_per_class=config.labels_per_class,
        seed=config.seed,
    )
    # One note is enough, where several processes train.
    note = warn if not process_rank(config) else lambda line: None
    resolved = task.resolved(params, data, parts.train, note)
    config = config.model_copy(update={"params": resolved})
    pl.seed_everything(config.seed, verbose=False)
    size = images.shape[-1]
    encoder = pretrained or task.fresh_backbone(config, size // (resolved.get("binning") or 1))
    factor = binning(checked(task.Params, resolved, "params"), encoder, size)
    with run_folder(config, config.task, METRICS) as (folder, finished):
        if finished:
            return folder, False
        sight = binned(torch.from_numpy(images[parts.train]), factor)
        stretch = Stretch.fit(sight, config.stretch)
        batch_size = config.optimizer.batch_size
        batches = training_batches(parts.train, config)
        steps = config.optimizer.epochs * -(-len(batches) // config.optimizer.accumulate)
        module = task(config, encoder, stretch, data, parts.train, steps)
        memory = served(module, data, config.device, with_params=task.needs_params)
        if memory.fit is not None:
            memory.fit = module.know_fits(memory.fit, torch.from_numpy(parts.train))
        train = loader(memory, batches)
        validation = loader(memory, BatchIndices(parts.validation, 2 * batch_size, shuffle=False))

        best = ModelCheckpoint(
            folder / "checkpoints",
            filename="best",
            monitor="val_loss",
            save_weights_only=True,
            enable_version_counter=False,
        )
        stop = Stop("val_loss", patience=config.patience)
        fit(module, config, folder, train, validation, (stop, best))
        if process_rank(config):
            return folder, True
        weights = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        module.load_state_dict(weights["state_dict"])
        draw_curves(folder, title=f"{config.task} on {config.data}")
        found = predicted(module, parts.validation, memory)
        if not found.isfinite().all():
            raise InputError(
                "the training has diverged: what it predicts is not a number; use a smaller "
                "optimizer.base_lr and another --out"
            )
        module.calibrate(found, data, parts)
        predictions = predicted(module, parts.test, memory)
        metrics = measured(module, predictions, data, parts.test, memory)
        save_model(module, data, folder)
        about = dataclasses.asdict(describe(data))
        save_encoder(module.encoder, folder, {"task": config.task, "data": about})
        write_results(module, predictions, data, parts.test, metrics, folder)
    return folder, True


def _default_data(task: type[Task]) -> Path:
    """The first data set in its usual place that serves a task."""
    for name in task.default_data:
        path = Path(name)
        if (path / shards.MANIFEST).is_file():
            manifest = shards.read_manifest(path)
            if manifest["complete"] and task.serves(manifest["config"]):
                return path
    places = ", ".join(task.default_data)
    raise InputError(f"found no data for this task in {places}; make some with `{task.needs}`")
