"""Fine-tune an encoder for a task, and test it once on images it has never seen."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import h5py
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from safetensors.torch import save_file

from learn.backbone import Backbone, Encoder, load_encoder, save_encoder
from learn.config import FinetuneConfig
from learn.data import BatchIndices, InMemory, Split, Stretch, loader, split, training_batches
from learn.devices import process_rank
from learn.figures import draw_curves
from learn.model import describe
from learn.runs import METRICS, find_encoder, run_folder
from learn.tasks import task_class
from learn.tasks.base import Task
from learn.timm_backbone import VIT, TimmBackbone, TimmConfig
from learn.train import fit, resolve
from simulate import shards
from simulate.config import checked
from simulate.errors import InputError


def finetune(config: FinetuneConfig) -> tuple[Path, bool]:
    """Fine-tune and test.

    Returns:
        The folder of the run, and whether there was anything left to do.

    Raises:
        InputError: for bad input.
    """
    config = resolve(config)
    task = task_class(config.task)
    checked(task.Params, config.params, "params")
    fresh = config.encoder == "none"
    if config.backbone != VIT and not fresh:
        raise InputError(
            f"--backbone {config.backbone} is trained from scratch: add --encoder none (the "
            "backbone of a pretrained encoder is known)"
        )
    if config.backbone != VIT and task.needs_tokens:
        raise InputError(f"{config.task} needs the tokens of the {VIT}; leave out --backbone")
    config = config.model_copy(
        update={
            "data": config.data or _default_data(task),
            "encoder": "none" if fresh else str(find_encoder(config.encoder)),
        }
    )
    assert config.data is not None
    data = _first(shards.read(config.data), config.max_images)
    images = task.inputs(data)
    pretrained = None if fresh else load_encoder(Path(config.encoder))
    if task.needs_tokens and pretrained and not isinstance(pretrained, Encoder):
        raise InputError(
            f"{config.task} needs the tokens of a vision transformer, which the encoder of "
            f"{config.encoder} has not; choose another --encoder"
        )
    parts = split(
        data.label,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        labels_per_class=config.labels_per_class,
        seed=config.seed,
    )
    pl.seed_everything(config.seed, verbose=False)
    encoder = pretrained or _fresh(config, images.shape[-1])
    with run_folder(config, config.task, METRICS) as (folder, finished):
        if finished:
            return folder, False
        stretch = Stretch.fit(torch.from_numpy(images[parts.train]), config.stretch)
        memory, batch_size = InMemory(data), config.optimizer.batch_size
        batches = training_batches(parts.train, config)
        train = loader(memory, batches)
        validation = loader(memory, BatchIndices(parts.validation, 2 * batch_size, shuffle=False))
        steps = config.optimizer.epochs * -(-len(batches) // config.optimizer.accumulate)
        module = task(config, encoder, stretch, data, parts.train, steps)

        best = ModelCheckpoint(
            folder / "checkpoints",
            filename="best",
            monitor="val_loss",
            save_weights_only=True,
            enable_version_counter=False,
        )
        stop = EarlyStopping("val_loss", patience=config.patience)
        fit(module, config, folder, train, validation, (stop, best))
        if process_rank(config):
            return folder, True
        weights = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        module.load_state_dict(weights["state_dict"])
        draw_curves(folder, title=f"{config.task} on {config.data}")
        _test(module, data, parts, memory, folder)
    return folder, True


def _fresh(config: FinetuneConfig, image_size: int) -> Backbone:
    """A backbone with random weights."""
    if config.backbone == VIT:
        return Encoder(config.scratch_encoder)
    return TimmBackbone(TimmConfig(backbone=config.backbone, image_size=image_size))


def _test(module: Task, data: shards.DataSet, parts: Split, memory: InMemory, folder: Path) -> None:
    """Predict the test images, and write predictions, weights and, last, the metrics."""
    batch_size = module.config.optimizer.batch_size
    batches = BatchIndices(parts.test, batch_size, shuffle=False)
    predictions = module.predict_all(loader(memory, batches))
    metrics = module.evaluate(predictions, data, parts, folder)
    with shards.replacing(folder / "predictions.h5") as path, h5py.File(path, "w") as file:
        file.create_dataset("prediction", data=predictions.numpy())
        file.create_dataset("index", data=parts.test)
        file.create_dataset("label", data=data.label[parts.test])
        file.attrs["label_names"] = data.label_names
    with shards.replacing(folder / "model.safetensors") as path:
        save_file({k: v.cpu().contiguous() for k, v in module.state_dict().items()}, path)
    about = dataclasses.asdict(describe(data))
    save_encoder(module.encoder, folder, {"task": module.config.task, "data": about})
    shards.write_text(folder / METRICS, json.dumps(metrics, indent=1) + "\n")


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


def _first(data: shards.DataSet, count: int | None) -> shards.DataSet:
    """The first images of a data set, all where no count is given."""
    if count is None:
        return data
    return dataclasses.replace(
        data,
        image=data.image[:count],
        label=data.label[:count],
        params={name: values[:count] for name, values in data.params.items()},
        image_lr=None if data.image_lr is None else data.image_lr[:count],
    )
