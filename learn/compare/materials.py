"""What the cells of a comparison share, made when the first of them needs it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from torch import Tensor

from learn.baselines.radial import radial_classifier, radial_features
from learn.compare.cells import TASK, Cell, Pretraining
from learn.compare.config import FIT, base_method
from learn.compare.sensitivity import sensitivity
from learn.config import FinetuneConfig, PretrainConfig
from learn.data import InMemory, Split, Stretch, split
from learn.finetune import finetune
from learn.inference.evaluate import PREDICTIONS
from learn.lens_fits.channels import binned
from learn.lens_fits.parameters import Fit, facts
from learn.lens_fits.population import Population
from learn.lens_fits.store import seen_by
from learn.networks.encoder import Backbone, Encoder, load_encoder
from learn.pretrain import pretrain
from learn.reporting.summary import read_metrics
from learn.runs import CONFIG, identity
from learn.tasks import task_class
from learn.tasks.base import binning
from learn.tasks.classify import classification_metrics
from learn.training.loop import resolve
from learn.training.monitor import features_of
from lensphys.ground.config import checked, read_yaml
from lensphys.ground.files import write_text
from simulate import shards
from simulate.config import SimulateConfig
from simulate.run import Progress, simulate
from simulate.run import resolve as resolve_data

Features = NDArray[np.float64]
#: Images whose features are found at once.
_BLOCK = 1024
#: In the folder of a run: the commit of the code that made it, and the seconds that it took.
_MAKER, _SECONDS = "commit.txt", "seconds.txt"


@dataclasses.dataclass(frozen=True)
class FrozenEncoder:
    """An encoder, and how it sees the images of a data set."""

    exported: Backbone
    stretch: Stretch
    device: torch.device


class Workshop:
    """Data sets, encoders and features, each made once.

    Folders bear a digest of the configuration that they were made from, so that another one never
    meets them.

    Args:
        data: folder for data sets.
        runs: folder for runs.
        commit: of the code.
        progress: of a simulation; see :func:`simulate.run.simulate`.
        say: called with a line on what begins.
    """

    def __init__(
        self,
        data: Path,
        runs: Path,
        commit: str,
        progress: Callable[[int, int], Progress] | None,
        say: Callable[[str], None],
    ) -> None:
        self._data, self._runs, self._commit = data, runs, commit
        self._progress, self._say = progress, say
        self._made: set[Path] = set()
        self._on_encoders = 0.0
        # The last ones only: cells that share them come one after another.
        self._read: tuple[Path, shards.DataSet] | None = None
        self._features: tuple[str, Features] | None = None

    def measure(self, cell: Cell) -> dict[str, Any]:
        """The metrics of a cell."""
        return self._train(cell) if cell.probe_strengths is None else self._probe(cell)

    def measured(self, cell: Cell) -> dict[str, Any]:
        """What the file of a cell holds beside its key and configuration.

        Commits and seconds are those of its run and of its encoder's, which may be older than this
        code. ``seconds`` are without those of the encoder, and with a data set and its lens fits
        where this cell was the first to need them.
        """
        start, before = time.monotonic(), self._on_encoders
        metrics = self.measure(cell)
        seconds = time.monotonic() - start - (self._on_encoders - before)
        encoder = self._pretraining(cell.pretraining).out if cell.pretraining else None
        trained = self._training(cell).out if cell.probe_strengths is None else None
        config = resolve(cell.training)
        return {
            "metrics": metrics,
            "commit": _left_in(trained, _MAKER) or self._commit,
            "encoder_commit": _left_in(encoder, _MAKER),
            "device": config.device,
            "precision": config.precision,
            "encoder_precision": _precision(encoder),
            "seconds": max(round(seconds, 3), float(_left_in(trained, _SECONDS) or 0)),
            "encoder_seconds": float(_left_in(encoder, _SECONDS) or 0) or None,
        }

    def _train(self, cell: Cell) -> dict[str, Any]:
        """Train the whole network."""
        self.data_set(cell.data)
        if cell.pretraining:
            self.encoder(cell.pretraining)
        start = time.monotonic()
        folder, made = finetune(self._training(cell))
        if made:
            self._sign(folder, time.monotonic() - start)
        # Only an unfinished run needs them, and a tier has hundreds of runs.
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        metrics = read_metrics(folder)
        if cell.training.task != TASK:
            return metrics
        with h5py.File(folder / PREDICTIONS, "r") as file:
            rows, right = file["index"][()], file["prediction"][()].argmax(1) == file["label"][()]
        data = self.read(self.data_set(cell.data))
        return metrics | {"sensitivity": sensitivity(right, data, rows)}

    def _probe(self, cell: Cell) -> dict[str, Any]:
        """Logistic regression on frozen features."""
        data = self.read(self.data_set(cell.data))
        config = cell.training
        parts = split(
            data.label,
            data.label_names,
            validation_fraction=config.validation_fraction,
            test_fraction=config.test_fraction,
            labels_per_class=config.labels_per_class,
            seed=config.seed,
        )
        assert cell.probe_strengths is not None
        features = self.features(cell, data)
        return probe(features, data, parts, cell.probe_strengths)

    def data_set(self, config: SimulateConfig) -> Path:
        """The folder of a data set, which is made where it is missing."""
        folder = self._data_folder(config)
        if folder not in self._made:  # a second look would read every shard again
            self._say(f"data: Model {config.model}, {config.preset}, {config.n} images in {folder}")
            simulate(config.model_copy(update={"out": folder}), self._progress)
            self._made.add(folder)
        return folder

    def encoder(self, pretraining: Pretraining) -> Path:
        """The folder of a pretraining run, which is made where it is missing."""
        config = self._pretraining(pretraining)
        folder = config.out
        assert folder is not None
        if folder not in self._made:
            self.data_set(pretraining.data)
            self._say(f"encoder: {config.method}, seed {config.seed} in {folder}")
            start = time.monotonic()
            _, made = pretrain(config)
            if made:
                self._sign(folder, time.monotonic() - start)
            self._on_encoders += time.monotonic() - start
            self._made.add(folder)
        return folder

    def _sign(self, run: Path, seconds: float) -> None:
        """Leave in the folder of a run what made it, and in what time."""
        write_text(run / _MAKER, self._commit + "\n")
        write_text(run / _SECONDS, f"{seconds:.3f}\n")

    def _data_folder(self, config: SimulateConfig) -> Path:
        digest = _digest(resolve_data(config).identity())
        return self._data / f"model{config.model}-{config.preset}-{digest}"

    def _pretraining(self, pretraining: Pretraining) -> PretrainConfig:
        """The run of a pretraining, with its places."""
        data = self._data_folder(pretraining.data)
        config = pretraining.run.model_copy(update={"data": data})
        digest = _digest(identity(resolve(config)))
        name = f"{config.method}-{pretraining.data.preset}-model{pretraining.model}"
        out = self._runs / f"pretrain-{name}-seed{config.seed}-{digest}"
        return config.model_copy(update={"out": out})

    def _training(self, cell: Cell) -> FinetuneConfig:
        """The fine-tuning of a cell, with its places."""
        start = str(self._pretraining(cell.pretraining).out) if cell.pretraining else "none"
        data = self._data_folder(cell.data)
        config = cell.training.model_copy(update={"data": data, "encoder": start})
        digest = _digest(identity(resolve(config)))
        return config.model_copy(update={"out": self._runs / f"{cell.name}-{digest}"})

    def read(self, folder: Path) -> shards.DataSet:
        """A data set in memory."""
        if self._read is None or self._read[0] != folder:
            self._read = None  # two would not always fit
            self._read = folder, shards.read(folder)
        return self._read[1]

    def features(self, cell: Cell, data: shards.DataSet) -> Features:
        """Features (N, D) of all images of a data set, as the row of a cell sees them."""
        seed = cell.seed if base_method(cell.method) == "untrained" else None
        of = [cell.method, seed, cell.config["pretraining"], str(data.path)]
        digest = _digest(of)
        if self._features is None or self._features[0] != digest:
            self._features = digest, self._extract(cell, data)
        return self._features[1]

    def _extract(self, cell: Cell, data: shards.DataSet) -> Features:
        if cell.method == "radial":
            return radial_features(data.image)
        config = resolve(cell.training)
        if cell.method == FIT:
            prior = seen_by(config.scratch_encoder, data, device=config.device)
            assert prior is not None
            return _told(cell, data, prior.fit)
        if cell.pretraining:
            encoder = load_encoder(self.encoder(cell.pretraining))
        else:
            pl.seed_everything(cell.seed, verbose=False)
            encoder = Encoder(config.scratch_encoder)
        device = torch.device(config.device)
        memory = InMemory(data, prior=seen_by(encoder.config, data, device=config.device))
        told = [] if memory.fit is None else [_told(cell, data, memory.fit)]
        params = checked(task_class(TASK).Params, config.params, "params")
        factor = binning(params, encoder, data.image.shape[-1])
        image = binned(torch.from_numpy(data.image)[_not_tested(cell, data)], factor)
        stretch = Stretch.fit(image, config.stretch)
        frozen = FrozenEncoder(encoder.to(device), stretch.to(device), device)
        blocks = torch.arange(len(data)).split(_BLOCK)
        # A lens prior of a whole data set, as numbers that a network takes, would fill the memory.
        stacks = (binned(memory[rows].stack, factor) for rows in blocks)
        parts = [features_of(frozen, stack) for stack in stacks]  # type: ignore[arg-type]
        return np.concatenate([np.concatenate(parts), *told], 1)


def probe(
    features: Features, data: shards.DataSet, parts: Split, strengths: tuple[float, ...]
) -> dict[str, Any]:
    """Metrics on the test images, of the logistic regression that validation likes best.

    Args:
        features: (N, D) of all images.
        data: their labels.
        parts: for training, choice and test.
        strengths: of the inverse regularisation to choose from.

    Returns:
        The metrics of classification, the ``strength`` that was chosen, and the ``sensitivity``.
    """
    label, classes = data.label, np.arange(len(data.label_names))
    fitted = {}
    for strength in strengths:
        model = radial_classifier().set_params(logisticregression__C=strength)
        model.fit(features[parts.train], label[parts.train])
        probability = model.predict_proba(features[parts.validation])
        fitted[strength] = (
            log_loss(label[parts.validation], probability, labels=classes),
            model,
        )
    strength, (_, model) = min(fitted.items(), key=lambda item: item[1][0])
    probability = model.predict_proba(features[parts.test])
    truth = label[parts.test]
    metrics = classification_metrics(probability, truth, data.label_names)
    seen = sensitivity(probability.argmax(1) == truth, data, parts.test)
    return metrics | {"strength": strength, "sensitivity": seen}


def _told(cell: Cell, data: shards.DataSet, fit: Fit) -> Features:
    """What a probe is told of the fits of a data set, beside a population that has no labels."""
    population = Population()
    population.learn(fit.rows(_not_tested(cell, data)))
    told: Features = facts(population.compared(fit)).numpy()
    return told


def _not_tested(cell: Cell, data: shards.DataSet) -> Tensor:
    """Indices of the images that are not for the test, the same for every seed and budget."""
    config = cell.training
    parts = split(
        data.label,
        data.label_names,
        validation_fraction=config.validation_fraction,
        test_fraction=config.test_fraction,
        labels_per_class=None,
        seed=0,
    )
    return torch.from_numpy(np.sort(np.concatenate([parts.train, parts.validation])))


def _precision(run: Path | None) -> str | None:
    """That a run was made in; None without one."""
    if run is None or not (run / CONFIG).is_file():
        return None
    return str(read_yaml(run / CONFIG)["precision"])


def _left_in(run: Path | None, name: str) -> str | None:
    """What the maker of a run left in it; None without one, or for one of an earlier version."""
    if run is None or not (run / name).is_file():
        return None
    return (run / name).read_text(encoding="utf-8").strip()


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
