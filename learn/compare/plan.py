"""The plan of a tier: all its cells, in the order in which they are run."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from learn.compare.cell import TASK, Cell, Pretraining
from learn.compare.config import CompareConfig, ModeSection, count_labels
from learn.compare.protocols import Protocol
from learn.compare.rows import BASELINES, Budget, Mode, base_method
from learn.config import FinetuneConfig, PretrainConfig
from learn.methods import method_class
from learn.tasks import task_class
from lensphys.ground.config import (
    ConfigT,
    config_folder,
    merge,
    read_yaml,
    shipped_config,
    validate,
)
from lensphys.ground.errors import InputError
from simulate.config import SimulateConfig
from simulate.presets import load_simulate_config

#: The method whose lens fits baseline rows see too.
_PHYSICS = "physics-ijepa"
#: Views of every image that the shipped configurations of all methods make.
_SHIPPED_VIEWS = 50


def plan(config: CompareConfig) -> list[Cell]:
    """All cells of a tier, in the order in which they are run: a whole table a seed.

    Raises:
        InputError: for settings that no command would accept.
    """
    cells = []
    for seed in config.seeds:
        for preset in config.presets:
            for name in config.baselines:
                cells += list(_row_cells(config, name, preset, None, seed))
            for name, sets in config.methods.items():
                images = config.pretrain.images
                cells += list(_method_cells(config, name, sets, preset, seed, images))
        for part in config.ablations.parts:
            images = part.images or config.pretrain.images
            for preset in part.presets:
                for name, sets in part.methods.items():
                    row = config.methods[base_method(name)] | sets
                    cells += list(_method_cells(config, name, row, preset, seed, images))
        for name, protocol in config.protocols.items():
            cells += list(_protocol_cells(config, name, protocol, seed))
    return cells


def _method_cells(
    config: CompareConfig, name: str, sets: Mapping[str, Any], preset: str, seed: int, images: int
) -> Iterator[Cell]:
    """The cells of a method or an ablation, and of one seed."""
    for model in config.pretrain.models:
        shared = seed if config.pretrain.anew else config.seeds[0]
        data = _data(model, preset, images, config.pretrain_data_seed, config.device)
        pretraining = _plan_pretraining(config, name, sets, data, shared)
        yield from _row_cells(config, name, preset, pretraining, seed)


def _plan_pretraining(
    config: CompareConfig, name: str, sets: Mapping[str, Any], data: SimulateConfig, seed: int
) -> Pretraining:
    path = shipped_config("pretrain", base_method(name), "method")
    shipped = _load_shipped(PretrainConfig, path, {}).optimizer
    part = config.pretrain.views / _SHIPPED_VIEWS
    epochs = max(1, round(shipped.epochs * part))
    length = {
        "optimizer.epochs": epochs,
        "optimizer.warmup_epochs": shipped.warmup_epochs * epochs / shipped.epochs,
    }
    run = _load_shipped(
        PretrainConfig,
        path,
        {**length, **config.pretrain.set, **sets},
        seed=seed,
        device=config.device,
        out=None,
    )
    validate(method_class(run.method).Params, run.params, f"{name}: params")
    return Pretraining(data.model, data, run)


def _row_cells(
    config: CompareConfig, name: str, preset: str, pretraining: Pretraining | None, seed: int
) -> Iterator[Cell]:
    """The cells of one row and seed."""
    section = config.finetune
    full = section.full_of(name, preset)
    ways: dict[Mode, ModeSection] = {"linear": section.linear, "full": full}
    if name in config.ablations.names:
        ways = {"linear": config.ablations.linear}
    elif name in BASELINES:
        mode = BASELINES[name].mode
        ways = {mode: ways[mode]}
    for mode, where in ways.items():
        strengths = section.probe_strengths if mode == "linear" else None
        for model in where.models:
            images = section.images_of(preset, model)
            data = _data(model, preset, images, config.finetune_data_seed, config.device)
            for budget in section.budgets_of(where, preset, model):
                training = _plan_training(config, name, preset, budget, seed)
                yield Cell(
                    name, preset, pretraining, model, mode, budget, seed, data, training, strengths
                )


def _plan_training(
    config: CompareConfig, name: str, preset: str, budget: Budget, seed: int
) -> FinetuneConfig:
    """The fine-tuning of one cell."""
    section, row = config.finetune, BASELINES.get(name)
    fixed = {
        "labels_per_class": None if budget == "all" else budget,
        "validation_fraction": section.validation_fraction,
        "test_fraction": section.test_fraction,
        "backbone": row.backbone if row else "vit",
        "mode": "full",
        "encoder": "none",
    }
    path = shipped_config("finetune", TASK, "task")
    sets = (section.set if row else section.set_of(name, preset)) | fixed
    if row and row.sees_lens_fit:
        ours = _load_shipped(PretrainConfig, shipped_config("pretrain", _PHYSICS, "method"), {})
        sets["scratch_encoder.lens_fit"] = ours.encoder.model_dump()["lens_fit"]
    batch_size = _load_shipped(FinetuneConfig, path, sets).optimizer.batch_size
    sets |= _length(config, budget, batch_size) | config.baselines.get(name, {})
    return _load_shipped(FinetuneConfig, path, sets, seed=seed, device=config.device, out=None)


def _length(config: CompareConfig, budget: Budget, batch_size: int) -> dict[str, Any]:
    """Settings of the length of a training with a budget."""
    epochs = config.finetune.epochs_of(budget, batch_size)
    return {
        "optimizer.epochs": epochs,
        "optimizer.warmup_epochs": epochs / 10,
        "patience": epochs,  # none stops early: the best epoch is kept
    }


def _protocol_cells(
    config: CompareConfig, name: str, protocol: Protocol, seed: int
) -> Iterator[Cell]:
    """The cells of a protocol: one, or one for each budget that it has numbers for."""
    pretraining = None
    if protocol.pretrain:
        part = protocol.pretrain
        run = _load_shipped(
            PretrainConfig,
            _recipe("pretrain", part.method, part.recipe),
            part.set,
            seed=seed,
            device=config.device,
            out=None,
        )
        validate(method_class(run.method).Params, run.params, f"{name}: params")
        source = _data(
            part.model,
            protocol.preset,
            part.images,
            config.pretrain_data_seed,
            config.device,
            classes=part.classes,
        )
        pretraining = Pretraining(part.model, source, run)
    task = protocol.finetune
    data = _data(
        task.model,
        protocol.preset,
        task.images,
        config.finetune_data_seed,
        config.device,
        pairs=task.pairs,
    )
    recipe = _recipe("finetune", task.task, task.recipe)
    shipped = _load_shipped(FinetuneConfig, recipe, task.set)
    left = count_labels(task.images, shipped.test_fraction, shipped.validation_fraction)
    for labels in protocol.budgets or (None,):
        sets = task.set
        if labels is not None:
            if labels > left:
                raise InputError(
                    f"{name}: {task.images} images leave {max(left, 0)} labels a class for "
                    f"training, too few for a budget of {labels}; raise finetune.images there"
                )
            length = _length(config, labels, shipped.optimizer.batch_size)
            sets = {**length, **task.set, "labels_per_class": labels}
        training = _load_shipped(
            FinetuneConfig,
            recipe,
            sets,
            seed=seed,
            device=config.device,
            encoder="none",
            out=None,
        )
        validate(task_class(training.task).Params, training.params, f"{name}: params")
        budget: Budget = training.labels_per_class or "all"
        where = (task.model, training.mode, budget)
        yield Cell(name, protocol.preset, pretraining, *where, seed, data, training, None)


def _recipe(command: str, name: str, recipe: str | None) -> Path:
    if recipe is None:
        return shipped_config(command, name, "configuration")
    return config_folder(command) / "recipes" / f"{recipe}.yaml"


def _load_shipped(
    schema: type[ConfigT], path: Path, sets: Mapping[str, Any], **top_level: Any
) -> ConfigT:
    """A shipped configuration with the overrides of a tier."""
    values = copy.deepcopy(_read(path))
    merge(values, {**sets, **top_level})
    return validate(schema, values, str(path))


# A tier has hundreds of cells and a dozen files; reading them for each takes a quarter minute.
_read = functools.cache(read_yaml)


@functools.cache
def _data(
    model: int,
    preset: str,
    images: int,
    seed: int,
    device: str,
    classes: tuple[str, ...] | None = None,
    pairs: int | None = None,
) -> SimulateConfig:
    return load_simulate_config(
        model, preset, n=images, seed=seed, device=device, classes=classes, pairs=pairs
    )
