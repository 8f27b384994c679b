"""The cells of a comparison: which there are, what each follows from, and their files."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from learn.compare.config import (
    BASELINES,
    FIT,
    WITH_LENS_FIT,
    Budget,
    CompareConfig,
    Mode,
    ModeSection,
    Protocol,
    base_method,
)
from learn.config import FinetuneConfig, PretrainConfig
from learn.methods import method_class
from learn.tasks import task_class
from lensphys.ground.config import ConfigT, checked, config_folder, load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.config import SimulateConfig
from simulate.presets import load_simulate_config

TASK, PHYSICS = "classify", "physics-ijepa"
#: Views of every image that the shipped configurations of all methods make.
_SHIPPED_VIEWS = 50
#: Where things lie, which no result depends on. The encoder of a pretraining is what it is made of.
_PLACES_OF_PRETRAINING, _PLACES_OF_TRAINING = {"out", "data"}, {"out", "data", "encoder"}
#: What results depend on by their rounding alone; a cell says what it was computed on.
_NOT_COMPARED = {"device"}
#: What a linear probe takes from the configuration of fine-tuning.
_OF_A_PROBE = {"stretch", "validation_fraction", "test_fraction", "labels_per_class", "seed"}


@dataclasses.dataclass(frozen=True, eq=False)
class Pretraining:
    """A pretraining run, and the data set it needs."""

    model: int
    data: SimulateConfig
    run: PretrainConfig

    @property
    def identity(self) -> dict[str, Any]:
        """What the encoder follows from."""
        run = self.run.model_dump(mode="json", exclude=_PLACES_OF_PRETRAINING)
        return {"data": self.data.identity(), "run": run}


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One measurement.

    Attributes:
        method: the row: a method, an ablation, a baseline or a protocol.
        preset: of the data sets.
        pretraining: None without one.
        finetune_model: DeepLense Model of the images that it is measured on.
        mode: linear probe, or all weights fine-tuned.
        labels_per_class: the budget.
        seed: of pretraining, split and training.
        data: the images that it is measured on.
        training: of the task; a probe takes the split and the stretch from it.
        probe_strengths: of a linear probe; None where the network is trained.
    """

    method: str
    preset: str
    pretraining: Pretraining | None
    finetune_model: int
    mode: Mode
    labels_per_class: Budget
    seed: int
    data: SimulateConfig
    training: FinetuneConfig
    probe_strengths: tuple[float, ...] | None

    @property
    def pretrain_model(self) -> int | None:
        """DeepLense Model that the encoder was pretrained on, None without pretraining."""
        return self.pretraining.model if self.pretraining else None

    @property
    def key(self) -> dict[str, Any]:
        """What tells this cell from the others of its tier."""
        return {
            "method": self.method,
            "preset": self.preset,
            "pretrain_model": self.pretrain_model,
            "finetune_model": self.finetune_model,
            "task": self.training.task,
            "mode": self.mode,
            "labels_per_class": self.labels_per_class,
            "seed": self.seed,
        }

    @property
    def name(self) -> str:
        """Of its file."""
        models = f"{self.pretrain_model or 'none'}-{self.finetune_model}"
        row = self.method.replace(":", ".")
        mode = f"{self.training.task}_{self.mode}_{self.labels_per_class}"
        return f"{self.preset}_{row}_{models}_{mode}_seed{self.seed}"

    @property
    def config(self) -> dict[str, Any]:
        """What the result depends on."""
        if self.probe_strengths is None:
            training = self.training.model_dump(mode="json", exclude=_PLACES_OF_TRAINING)
        else:
            own = base_method(self.method) in ("untrained", FIT)
            include = _OF_A_PROBE | ({"scratch_encoder"} if own else set())
            training = self.training.model_dump(mode="json", include=include)
            training["probe_strengths"] = list(self.probe_strengths)
            training["binning"] = self.training.params["binning"]
        return {
            "data": self.data.identity(),
            "pretraining": self.pretraining.identity if self.pretraining else None,
            "training": training,
        }


def plan(config: CompareConfig) -> list[Cell]:
    """All cells of a tier, in the order in which they are run: a whole table a seed.

    Raises:
        InputError: for settings that no command would accept.
    """
    cells = []
    for seed in config.seeds:
        for preset in config.presets:
            for name in config.baselines:
                cells += list(_measured(config, name, preset, None, seed))
            for name, sets in config.methods.items():
                cells += list(_of_method(config, name, sets, preset, seed))
        for preset in config.ablations.presets:
            for name, sets in config.ablations.methods.items():
                of_row = config.methods[base_method(name)]
                cells += list(_of_method(config, name, of_row | sets, preset, seed))
        cells += [_of_protocol(config, *item, seed) for item in config.protocols.items()]
    return cells


def _of_method(
    config: CompareConfig, name: str, sets: Mapping[str, Any], preset: str, seed: int
) -> Iterator[Cell]:
    """The cells of a method or an ablation, and of one seed."""
    for model in config.pretrain.models:
        shared = seed if config.pretrain.anew else config.seeds[0]
        pretraining = _pretraining(config, name, sets, preset, model, shared)
        yield from _measured(config, name, preset, pretraining, seed)


def _pretraining(
    config: CompareConfig, name: str, sets: Mapping[str, Any], preset: str, model: int, seed: int
) -> Pretraining:
    path = shipped_config("pretrain", base_method(name), "method")
    shipped = _adjusted(PretrainConfig, path, {}).optimizer
    part = config.pretrain.views / _SHIPPED_VIEWS
    epochs = max(1, round(shipped.epochs * part))
    length = {
        "optimizer.epochs": epochs,
        "optimizer.warmup_epochs": shipped.warmup_epochs * epochs / shipped.epochs,
    }
    run = _adjusted(
        PretrainConfig,
        path,
        {**length, **config.pretrain.set, **sets},
        seed=seed,
        device=config.device,
        out=None,
    )
    checked(method_class(run.method).Params, run.params, f"{name}: params")
    data = _data(model, preset, config.pretrain.images, config.pretrain_data_seed, config.device)
    return Pretraining(model, data, run)


def _measured(
    config: CompareConfig, name: str, preset: str, pretraining: Pretraining | None, seed: int
) -> Iterator[Cell]:
    """The cells of one row and seed."""
    section = config.finetune
    full = section.full_of(name, preset)
    ways: dict[Mode, ModeSection] = {"linear": section.linear, "full": full}
    if name in config.ablations.methods:
        ways = {"linear": config.ablations.linear}
    elif name in BASELINES:
        ways = {BASELINES[name]: ways[BASELINES[name]]}
    for mode, where in ways.items():
        strengths = section.probe_strengths if mode == "linear" else None
        for model in where.models:
            data = _data(model, preset, section.images, config.finetune_data_seed, config.device)
            for budget in where.labels_per_class:
                training = _training(config, name, budget, seed)
                yield Cell(
                    name, preset, pretraining, model, mode, budget, seed, data, training, strengths
                )


def _training(config: CompareConfig, name: str, budget: Budget, seed: int) -> FinetuneConfig:
    """The fine-tuning of one cell."""
    section = config.finetune
    fixed = {
        "labels_per_class": None if budget == "all" else budget,
        "validation_fraction": section.validation_fraction,
        "test_fraction": section.test_fraction,
        "backbone": "resnet18" if name == "resnet18" else "vit",
        "mode": "full",
        "encoder": "none",
    }
    path = shipped_config("finetune", TASK, "task")
    sets = section.set | fixed
    if name.endswith(WITH_LENS_FIT) or name == FIT:
        ours = _adjusted(PretrainConfig, shipped_config("pretrain", PHYSICS, "method"), {})
        sets["scratch_encoder.lens_fit"] = ours.encoder.model_dump()["lens_fit"]
    batch_size = _adjusted(FinetuneConfig, path, sets).optimizer.batch_size
    epochs = section.epochs_of(budget, batch_size)
    length = {
        "optimizer.epochs": epochs,
        "optimizer.warmup_epochs": epochs / 10,
        "patience": epochs,  # none stops early: the best epoch is kept
    }
    sets |= length | config.baselines.get(name, {})
    return _adjusted(FinetuneConfig, path, sets, seed=seed, device=config.device, out=None)


def _of_protocol(config: CompareConfig, name: str, protocol: Protocol, seed: int) -> Cell:
    pretraining = None
    if protocol.pretrain:
        part = protocol.pretrain
        run = _adjusted(
            PretrainConfig,
            _recipe("pretrain", part.method, part.recipe),
            part.set,
            seed=seed,
            device=config.device,
            out=None,
        )
        checked(method_class(run.method).Params, run.params, f"{name}: params")
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
    training = _adjusted(
        FinetuneConfig,
        _recipe("finetune", task.task, task.recipe),
        task.set,
        seed=seed,
        device=config.device,
        encoder="none",
        out=None,
    )
    checked(task_class(training.task).Params, training.params, f"{name}: params")
    budget: Budget = training.labels_per_class or "all"
    where = (task.model, training.mode, budget)
    return Cell(name, protocol.preset, pretraining, *where, seed, data, training, None)


def _recipe(command: str, name: str, recipe: str | None) -> Path:
    if recipe is None:
        return shipped_config(command, name, "configuration")
    return config_folder(command) / "recipes" / f"{recipe}.yaml"


def _adjusted(
    schema: type[ConfigT], path: Path, sets: Mapping[str, Any], **overrides: Any
) -> ConfigT:
    """A shipped configuration with the overrides of a tier."""
    values = {**sets, **overrides}
    items = tuple(f"{key}={json.dumps(value)}" for key, value in _dotted(values))
    return _loaded(schema, path, items)  # type: ignore[return-value]


def _dotted(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The values of sections within sections, by names such as ``optimizer.epochs``."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield above + key, value


# A tier has hundreds of cells and a dozen configurations; reading each anew takes a quarter minute.
@functools.cache
def _loaded(schema: type[BaseModel], path: Path, items: tuple[str, ...]) -> BaseModel:
    return load_config(schema, path, items)


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


def finished(cells: list[Cell], folder: Path) -> dict[Cell, dict[str, Any]]:
    """The cells that have a file, with what is in it.

    Raises:
        InputError: for a file that is damaged, or of another configuration.
    """
    found = {}
    for cell in cells:
        path = folder / f"{cell.name}.json"
        if not path.is_file():
            continue
        content = read_cell(path).model_dump()
        if other := difference(content["config"], json.loads(json.dumps(cell.config))):
            raise InputError(
                f"{path} is a cell of another configuration: {other}; choose another --out, or "
                "delete it"
            )
        found[cell] = content
    return found


class CellFile(BaseModel):
    """What the file of a finished cell holds; see :class:`Cell`."""

    method: str
    preset: str
    pretrain_model: int | None
    finetune_model: int
    task: str
    mode: str
    labels_per_class: Budget
    seed: int
    metrics: dict[str, Any]
    config: dict[str, Any]
    commit: str
    encoder_commit: str | None = None
    device: str | None = None  # unknown of cells of earlier versions
    precision: str | None = None
    encoder_precision: str | None = None
    seconds: float
    encoder_seconds: float | None = None  # likewise

    @property
    def commits(self) -> set[str]:
        """Of the code that the cell and its encoder were made by."""
        return {self.commit, *([self.encoder_commit] if self.encoder_commit else [])}


def read_cell(path: Path) -> CellFile:
    """The file of a finished cell.

    Raises:
        InputError: where it is damaged.
    """
    try:
        return CellFile.model_validate_json(path.read_bytes())
    except ValueError:
        raise InputError(f"{path} is damaged; delete it to run that cell again") from None


def difference(old: Any, new: Any, where: str = "") -> str | None:
    """The first key in which two configurations differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - _NOT_COMPARED):
            below = f"{where}.{key}" if where else key
            if found := difference(old.get(key), new.get(key), below):
                return found
        return None
    return None if old == new else f"{where} = {old}, not {new}"


def seeds_in(folder: Path) -> set[int]:
    """The seeds of all cells in a folder."""
    names = (path.stem.rpartition("_seed")[2] for path in folder.glob("*_seed*.json"))
    return {int(name) for name in names if name.isdigit()}
