"""Data sets, encoders and features that cells share, made when the first cell needs them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from learn.baselines.detection_statistics import detection_features
from learn.baselines.radial import radial_features
from learn.compare.cell import TASK, Cell, Pretraining
from learn.compare.measuring.probe import Features
from learn.compare.rows import DETECTION, LENS_FIT, RADIAL, base_method
from learn.config import FinetuneConfig, PretrainConfig
from learn.data import InMemory, Stretch
from learn.finetune import finetune
from learn.lens_fits.channels import bin_stack
from learn.lens_fits.features import fit_features
from learn.lens_fits.lens_fits import LensFits
from learn.lens_fits.store import fits_for
from learn.lens_fits.usual_lens import UsualLens
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import Backbone, load_encoder
from learn.pretrain import pretrain
from learn.runs import identity
from learn.splits import split_for
from learn.tasks import task_class
from learn.tasks.binning import find_binning
from learn.training.loop import resolve
from learn.training.monitor import features_of
from lensphys.ground.config import validate
from lensphys.ground.files import write_text
from lensphys.ground.locks import call_in_turn, hold
from simulate import shards
from simulate.config import SimulateConfig
from simulate.dataset.padding import mark_padding
from simulate.run import Progress, simulate
from simulate.run import resolve as resolve_data
from simulate.shards import DataSet

#: Images whose features are extracted at once.
_BLOCK = 1024
#: Files in the folder of a run: the commit of the code that made it, and the seconds it took.
COMMIT, SECONDS = "commit.txt", "seconds.txt"


@dataclasses.dataclass(frozen=True)
class FrozenEncoder:
    """An encoder, and how it sees the images of a data set."""

    exported: Backbone
    stretch: Stretch
    device: torch.device


class Materials:
    """Data sets, encoders and features, each made once.

    Folders bear a digest of the configuration that they were made from, so that another one never
    meets them.

    Args:
        data: folder for data sets.
        runs: folder for runs.
        commit: of the code.
        progress: of a simulation; see :func:`simulate.run.simulate`.
        say: called with a line on what begins.

    Attributes:
        encoder_seconds: spent on encoders so far.
    """

    def __init__(
        self,
        data: Path,
        runs: Path,
        commit: str,
        progress: Callable[[int, int], Progress] | None,
        say: Callable[[str], None],
    ) -> None:
        self.commit = commit
        self.encoder_seconds = 0.0
        self._data, self._runs = data, runs
        self._progress, self._say = progress, say
        self._made: set[Path] = set()
        # The last ones only: cells that share them come one after another.
        self._read: tuple[Path, DataSet] | None = None
        self._features: tuple[str, list[Features]] | None = None

    def make_data_set(self, config: SimulateConfig) -> Path:
        """Make a data set where it is missing, and return its folder."""
        folder = self._data_folder(config)
        if folder not in self._made:  # a second look would read every shard again
            self._say(f"data: Model {config.model}, {config.preset}, {config.n} images in {folder}")
            wanted = config.model_copy(update={"out": folder})
            call_in_turn(lambda: simulate(wanted, self._progress), self._say)
            self._made.add(folder)
        return folder

    def make_encoder(self, pretraining: Pretraining) -> Path:
        """Pretrain an encoder where it is missing, and return the folder of its run."""
        config = self.pretraining_run(pretraining)
        folder = config.out
        assert folder is not None
        if folder not in self._made:
            self.make_data_set(pretraining.data)
            self._say(f"encoder: {config.method}, seed {config.seed} in {folder}")
            start = time.monotonic()
            _, made = call_in_turn(lambda: pretrain(config), self._say)
            if made:
                self.sign(folder, time.monotonic() - start)
            self.encoder_seconds += time.monotonic() - start
            self._made.add(folder)
        return folder

    def train(self, cell: Cell) -> Path:
        """Train the network of a cell where it is missing, and return the folder of its run."""
        config = self.training_run(cell)
        start = time.monotonic()
        folder, made = call_in_turn(lambda: finetune(config), self._say)
        if made:
            self.sign(folder, time.monotonic() - start)
        return folder

    def sign(self, run: Path, seconds: float) -> None:
        """Write into the folder of a run the commit that made it, and the seconds that it took."""

        def write() -> None:
            with hold(run):  # another process that waited for the run would clear temporary files
                write_text(run / COMMIT, self.commit + "\n")
                write_text(run / SECONDS, f"{seconds:.3f}\n")

        call_in_turn(write, self._say)

    def _data_folder(self, config: SimulateConfig) -> Path:
        digest = _digest(resolve_data(config).identity())
        return self._data / f"model{config.model}-{config.preset}-{digest}"

    def pretraining_run(self, pretraining: Pretraining) -> PretrainConfig:
        """The configuration of a pretraining, with its places."""
        data = self._data_folder(pretraining.data)
        config = pretraining.run.model_copy(update={"data": data})
        digest = _digest(identity(resolve(config)))
        name = f"{config.method}-{pretraining.data.preset}-model{pretraining.model}"
        out = self._runs / f"pretrain-{name}-seed{config.seed}-{digest}"
        return config.model_copy(update={"out": out})

    def training_run(self, cell: Cell) -> FinetuneConfig:
        """The configuration of a fine-tuning, with its places."""
        start = str(self.pretraining_run(cell.pretraining).out) if cell.pretraining else "none"
        data = self._data_folder(cell.data)
        config = cell.training.model_copy(update={"data": data, "encoder": start})
        digest = _digest(identity(resolve(config)))
        return config.model_copy(update={"out": self._runs / f"{cell.name}-{digest}"})

    def read(self, folder: Path) -> DataSet:
        """Read a data set into memory."""
        if self._read is None or self._read[0] != folder:
            self._read = None  # two would not always fit
            self._read = folder, shards.read(folder)
        return self._read[1]

    def extract_features(self, cell: Cell, data: DataSet) -> list[Features]:
        """Extract features (N, D) of all images of a data set, as the row of a cell sees them.

        A network that sees lens fits has two sets: its features with the S/N statistics; and these
        with the parameters of the fits, whose many numbers cost more than they give where every
        image has its own lens and labels are few.
        """
        seed = cell.seed if base_method(cell.method) == "untrained" else None
        of = [cell.method, seed, cell.config["pretraining"], str(data.path)]
        digest = _digest(of)
        if self._features is None or self._features[0] != digest:
            self._features = digest, self._extract(cell, data)
        return self._features[1]

    def _extract(self, cell: Cell, data: DataSet) -> list[Features]:
        if cell.method == RADIAL:
            return [radial_features(mark_padding(data))]
        config = resolve(cell.training)
        if cell.method in (DETECTION, LENS_FIT):
            fits = fits_for(config.scratch_encoder, data, device=config.device)
            assert fits is not None
            if cell.method == DETECTION:
                return [detection_features(fits)]
            return [_fit_features(cell, data, fits)]
        if cell.pretraining:
            encoder = load_encoder(self.make_encoder(cell.pretraining))
        else:
            pl.seed_everything(cell.seed, verbose=False)
            encoder = Encoder(config.scratch_encoder)
        device = torch.device(config.device)
        memory = InMemory(data, fits=fits_for(encoder.config, data, device=config.device))
        params = validate(task_class(TASK).Params, config.params, "params")
        factor = find_binning(params, encoder, data.image.shape[-1])
        image = bin_stack(torch.from_numpy(mark_padding(data))[_not_tested(cell, data)], factor)
        stretch = Stretch.of_images(image, config.stretch)
        frozen = FrozenEncoder(encoder.to(device), stretch.to(device), device)
        blocks = torch.arange(len(data)).split(_BLOCK)
        # The channels of a whole data set, in single precision, would fill the memory.
        stacks = (bin_stack(memory[rows].stack, factor) for rows in blocks)
        parts = [features_of(frozen, stack) for stack in stacks]  # type: ignore[arg-type]
        found = np.concatenate(parts)
        if memory.fits is None:
            return [found]
        searched = np.concatenate([found, detection_features(memory.fits)], 1)
        return [searched, np.concatenate([searched, _fit_features(cell, data, memory.fits)], 1)]


def _fit_features(cell: Cell, data: DataSet, fits: LensFits) -> Features:
    """Features of the lens fits of a data set, compared with a usual lens that needs no labels."""
    fits = fits.without_channels()
    usual_lens = UsualLens()
    usual_lens.learn(fits.rows(_not_tested(cell, data)))
    features: Features = fit_features(usual_lens.compare(fits)).numpy()
    return features


def _not_tested(cell: Cell, data: DataSet) -> Tensor:
    """Indices of the images that are not for the test, the same for every seed and budget."""
    parts = split_for(data, cell.training.model_copy(update={"labels_per_class": None, "seed": 0}))
    return torch.from_numpy(np.sort(np.concatenate([parts.train, parts.validation])))


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
