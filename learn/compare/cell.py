"""A cell of a comparison: one measurement, and all that it follows from."""

from __future__ import annotations

import dataclasses
from typing import Any

from learn.compare.rows import Budget, Mode, has_own_encoder
from learn.config import FinetuneConfig, PretrainConfig
from simulate.config import SimulateConfig

#: The task of all cells but those of protocols.
TASK = "classify"
#: Places of inputs and outputs, on which no result depends.
_PLACES_OF_PRETRAINING, _PLACES_OF_TRAINING = {"out", "data"}, {"out", "data", "encoder"}
#: Settings that count for imported data alone, of which none is compared.
_OF_IMPORTS = {"published_split"}
#: Settings of what follows the test of a network, on which none that is compared depends.
_AFTERWARDS = {"false_flags"}
#: The keys of a fine-tuning that a linear probe depends on.
_OF_A_PROBE = {"stretch", "validation_fraction", "test_fraction", "labels_per_class", "seed"}


@dataclasses.dataclass(frozen=True, eq=False)
class Pretraining:
    """A pretraining run, and the data set it needs."""

    model: int
    data: SimulateConfig
    run: PretrainConfig

    @property
    def identity(self) -> dict[str, Any]:
        """All that the encoder follows from."""
        run = self.run.model_dump(mode="json", exclude=_PLACES_OF_PRETRAINING | _OF_IMPORTS)
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
        """The values by which this cell differs from the others of its tier."""
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
        """The name of its file."""
        models = f"{self.pretrain_model or 'none'}-{self.finetune_model}"
        row = self.method.replace(":", ".")
        mode = f"{self.training.task}_{self.mode}_{self.labels_per_class}"
        return f"{self.preset}_{row}_{models}_{mode}_seed{self.seed}"

    @property
    def config(self) -> dict[str, Any]:
        """All that the result depends on."""
        if self.probe_strengths is None:
            apart = _PLACES_OF_TRAINING | _AFTERWARDS | _OF_IMPORTS
            training = self.training.model_dump(mode="json", exclude=apart)
        else:
            own = {"scratch_encoder"} if has_own_encoder(self.method) else set[str]()
            training = self.training.model_dump(mode="json", include=_OF_A_PROBE | own)
            training["probe_strengths"] = list(self.probe_strengths)
            training["binning"] = self.training.params["binning"]
        return {
            "data": self.data.identity(),
            "pretraining": self.pretraining.identity if self.pretraining else None,
            "training": training,
        }
