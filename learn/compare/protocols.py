"""Protocols of earlier systems, and the numbers that they published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from learn.methods import METHODS
from learn.reporting.task_report import Baseline
from learn.tasks import TASKS, task_report
from lensphys.ground.config import Strict
from lensphys.ground.registry import unknown_name


def require_known(name: str, known: Mapping[str, Any], kind: str) -> str:
    """Return a name that must be known; for the validators of configurations.

    Raises:
        ValueError: with the nearest known name.
    """
    if name not in known:
        raise ValueError(unknown_name(name, known, kind))
    return name


MethodName = Annotated[str, AfterValidator(lambda name: require_known(name, METHODS, "method"))]
TaskName = Annotated[str, AfterValidator(lambda name: require_known(name, TASKS, "task"))]


class ProtocolPretraining(Strict):
    """The pretraining of an earlier system."""

    method: MethodName
    recipe: str | None = Field(description="in configs/pretrain/recipes; null: the shipped one")
    model: int
    images: int = Field(gt=0)
    classes: tuple[str, ...] | None
    set: dict[str, Any]


class ProtocolFinetuning(Strict):
    """The task of an earlier system."""

    task: TaskName
    recipe: str | None = Field(description="in configs/finetune/recipes; null: the shipped one")
    model: int
    images: int = Field(gt=0)
    pairs: int | None
    labels_per_class: tuple[PositiveInt, ...] | None = Field(
        None,
        min_length=1,
        description="a training for each; null: one, as `set` or the recipe says",
    )
    set: dict[str, Any]


class Protocol(Strict):
    """The protocol of an earlier system, and the numbers that it published."""

    what: str
    source: str
    published: dict[str, float | tuple[float, ...]] = Field(
        description="metric, as accuracy or auc.cdm, to value; to as many as there are budgets "
        "where finetune.labels_per_class names them"
    )
    preset: str
    pretrain: ProtocolPretraining | None = Field(description="null: from random weights")
    finetune: ProtocolFinetuning

    @model_validator(mode="after")
    def _has_a_number_for_each_budget(self) -> Self:
        for metric, numbers in self.published.items():
            found = numbers if isinstance(numbers, tuple) else ()
            if len(found) != len(self.budgets):
                raise ValueError(
                    f"published.{metric} has numbers for {len(found)} budgets, "
                    f"finetune.labels_per_class names {len(self.budgets)}"
                )
        return self

    @property
    def budgets(self) -> tuple[int, ...]:
        """The numbers of labels a class that it is measured with; none where it has one result."""
        return self.finetune.labels_per_class or ()

    def published_number(self, metric: str, place: int = 0) -> float:
        """The published value of a metric, by the place of its budget where there are several."""
        numbers = self.published[metric]
        return numbers[place] if isinstance(numbers, tuple) else numbers

    def baselines(self, measured: Iterable[Mapping[str, Any]]) -> list[Baseline]:
        """The trivial baselines of its task that some of these metrics hold."""
        names = {name for metrics in measured for name in metrics}
        return task_report(self.finetune.task).baselines_of(names)

    def metrics_of(self, measure: str, measured: Iterable[Mapping[str, Any]] = ()) -> list[str]:
        """The metrics beside a published number: its own, and those of the baselines."""
        return [measure, *(baseline.of(measure) for baseline in self.baselines(measured))]

    def head(self, measured: Iterable[Mapping[str, Any]] = ()) -> tuple[str, ...]:
        """The names of the numbers in a row of its table, after that of the measure."""
        return ("published", "here", *(baseline.name for baseline in self.baselines(measured)))
