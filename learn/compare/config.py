"""The configuration of a tier of the comparison; the tiers are in ``configs/compare/``."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from learn.compare.protocols import Protocol, require_known
from learn.compare.rows import BASELINES, Budget, base_method
from learn.methods import METHODS
from lensphys.ground.config import Strict
from simulate.presets import PRESETS
from simulate.substructure import DEEPLENSE_CLASSES

#: Names of rows, which become names of files.
_NAME = re.compile(r"[^\W_][\w.:+-]{0,63}")


class PretrainSection(Strict):
    """The pretraining of all methods."""

    models: tuple[int, ...] = Field(min_length=1)
    images: int = Field(gt=0)
    views: float = Field(gt=0, description="views of every image; epochs follow from it")
    anew: bool = Field(description="a pretraining for every seed; false: all share one")
    set: dict[str, Any] = Field(description="overrides of each method's shipped configuration")


class ModeSection(Strict):
    """The data sets and budgets on which one mode is measured."""

    models: tuple[int, ...]
    labels_per_class: tuple[Budget, ...]

    @field_validator("labels_per_class")
    @classmethod
    def _positive(cls, budgets: tuple[Budget, ...]) -> tuple[Budget, ...]:
        if any(budget != "all" and budget < 1 for budget in budgets):
            raise ValueError("a budget is a number of labels a class from 1, or all")
        return budgets


def _known_presets(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(require_known(name, PRESETS, "preset") for name in names)


Presets = Annotated[tuple[str, ...], AfterValidator(_known_presets)]


class AblationRows(Strict):
    """Ablations of some presets."""

    presets: Presets
    images: int | None = Field(
        default=None, gt=0, description="to pretrain on; null: as many as the method's row"
    )
    methods: dict[str, dict[str, Any]] = Field(
        description="<method>:<ablation> to overrides of the method's row"
    )


class AblationSection(AblationRows):
    """Rows that show which part of a method matters, with probes of frozen encoders alone."""

    linear: ModeSection
    further: tuple[AblationRows, ...] = Field(
        default=(), description="rows of other presets, or with other numbers of images"
    )

    @property
    def parts(self) -> tuple[AblationRows, ...]:
        """All rows, by presets and numbers of images."""
        return (self, *self.further)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all rows, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.methods))


class WiderSection(Strict):
    """Rows whose networks are trained whole on more data sets or budgets than those of others."""

    presets: Presets
    full: ModeSection
    rows: tuple[str, ...]
    set: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="a preset to overrides of the fine-tuning of those rows that are pretrained",
    )

    @field_validator("set")
    @classmethod
    def _known(cls, sets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        _known_presets(tuple(sets))
        return sets


def count_labels(images: int, *held_out: float) -> int:
    """Labels a class that a data set leaves for training, without fractions that are held out."""
    members = images // len(DEEPLENSE_CLASSES)
    return members - sum(round(members * fraction) for fraction in held_out)


class SmallerSection(Strict):
    """Data sets of fewer images than others, where lens fits would take too long."""

    presets: Presets
    models: tuple[int, ...] = Field(description="DeepLense Models that are measured on")
    images: int = Field(gt=0, description="number in a data set, with validation and test")
    labels_per_class: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        min_length=1, description="budgets in place of those of both modes"
    )


class FinetuneSection(Strict):
    """The fine-tuning and probing of encoders."""

    images: int = Field(gt=0, description="number in a data set, with validation and test")
    validation_fraction: float = Field(gt=0, lt=1)
    test_fraction: float = Field(gt=0, lt=1)
    probe_strengths: tuple[float, ...] = Field(
        min_length=1, description="inverse regularisation of linear probes; validation chooses"
    )
    linear: ModeSection
    full: ModeSection
    wider: WiderSection | None = Field(description="section in place of `full`, for some rows")
    smaller: tuple[SmallerSection, ...] = Field(description="the first that fits counts")
    epochs: int = Field(gt=0, description="epochs of full fine-tuning")
    least_steps: int = Field(gt=0, description="steps at least; small budgets get more epochs")
    set: dict[str, Any] = Field(description="overrides of the shipped configuration of classify")

    def full_of(self, row: str, preset: str) -> ModeSection:
        """The data sets and budgets on which the network of a row is trained whole."""
        wider = self.wider
        return wider.full if wider and row in wider.rows and preset in wider.presets else self.full

    def set_of(self, row: str, preset: str) -> dict[str, Any]:
        """The overrides of the fine-tuning of a pretrained row."""
        wider = self.wider
        return self.set | (wider.set.get(preset, {}) if wider and row in wider.rows else {})

    def images_of(self, preset: str, model: int) -> int:
        """Number of images of the data set of a preset and a Model."""
        smaller = self._smaller_of(preset, model)
        return smaller.images if smaller else self.images

    def budgets_of(self, where: ModeSection, preset: str, model: int) -> tuple[Budget, ...]:
        """The budgets of a mode on the data set of a preset and a Model."""
        smaller = self._smaller_of(preset, model)
        return smaller.labels_per_class if smaller else where.labels_per_class

    def _smaller_of(self, preset: str, model: int) -> SmallerSection | None:
        fitting = (s for s in self.smaller if preset in s.presets and model in s.models)
        return next(fitting, None)

    def epochs_of(self, budget: Budget, batch_size: int) -> int:
        """Epochs of full fine-tuning with a budget."""
        labels = self.all_labels if budget == "all" else budget
        steps = math.ceil(len(DEEPLENSE_CLASSES) * labels / batch_size)
        return max(self.epochs, math.ceil(self.least_steps / steps))

    @property
    def all_labels(self) -> int:
        """The number of labels a class that ``all`` means."""
        return count_labels(self.images, self.test_fraction, self.validation_fraction)

    @model_validator(mode="after")
    def _has_the_labels(self) -> Self:
        ways = (self.linear, self.full, *([self.wider.full] if self.wider else ()))
        budgets = [budget for way in ways for budget in way.labels_per_class]
        largest = max((budget for budget in budgets if budget != "all"), default=1)
        data_sets = [("finetune.images", self.images, largest)]
        for section in self.smaller:
            data_sets.append(("finetune.smaller", section.images, max(section.labels_per_class)))
        for key, images, budget in data_sets:
            left = max(count_labels(images, self.test_fraction, self.validation_fraction), 0)
            if budget > left:
                raise ValueError(
                    f"{images} images leave {left} labels a class for training, too few for a "
                    f"budget of {budget}; raise {key}"
                )
        return self


class CompareConfig(Strict):
    """``python cli.py compare``."""

    device: Literal["auto", "cpu", "cuda"]
    presets: Presets
    seeds: tuple[int, ...]
    pretrain_data_seed: int = Field(ge=0)
    finetune_data_seed: int = Field(ge=0)
    pretrain: PretrainSection
    finetune: FinetuneSection
    baselines: dict[str, dict[str, Any]] = Field(
        description="a row's name to overrides of its fine-tuning"
    )
    methods: dict[str, dict[str, Any]] = Field(description="a row's name to overrides")
    ablations: AblationSection
    protocols: dict[str, Protocol] = Field(description="<method>:<protocol> to what it is")

    @field_validator("baselines")
    @classmethod
    def _known_baselines(cls, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, sets in rows.items():
            mode = BASELINES[require_known(name, BASELINES, "baseline")].mode
            if sets and mode == "linear":
                raise ValueError(f"{name} is measured by a probe, which takes no overrides")
        return rows

    @model_validator(mode="after")
    def _names_that_files_can_bear(self) -> Self:
        for name in (*self.methods, *self.ablations.names, *self.protocols):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!a:.80} is no name of a row, which names files too: letters, digits "
                    "and any of _ - + . : after the first, up to 64"
                )
        return self

    @model_validator(mode="after")
    def _known_methods(self) -> Self:
        for name in self.methods:
            require_known(base_method(name), METHODS, "method")
        for name in self.ablations.names:
            if ":" not in name:
                raise ValueError(f"ablations: {name} needs a name of its own, as {name}:no-guard")
            require_known(base_method(name), self.methods, "row to take a part from")
        return self

    @model_validator(mode="after")
    def _known_presets_of_protocols(self) -> Self:
        _known_presets(tuple(protocol.preset for protocol in self.protocols.values()))
        return self

    @model_validator(mode="after")
    def _trains_what_it_knows(self) -> Self:
        whole = (name for name in self.baselines if BASELINES[name].mode == "full")
        trained = dict.fromkeys((*self.methods, *whole))
        for name in self.finetune.wider.rows if self.finetune.wider else ():
            require_known(name, trained, "row that is trained whole")
        return self

    @model_validator(mode="after")
    def _draws_other_images(self) -> Self:
        if self.pretrain_data_seed == self.finetune_data_seed:
            raise ValueError(
                "pretrain_data_seed and finetune_data_seed must differ, or encoders are tested on "
                "images that they were pretrained on"
            )
        if len(set(self.rows)) < len(self.rows):
            double = max(self.rows, key=self.rows.count)
            raise ValueError(f"{double} is the name of two rows")
        return self

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of all rows."""
        return (*self.baselines, *self.methods, *self.ablations.names, *self.protocols)
