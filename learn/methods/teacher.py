"""Methods with a teacher: a copy of the student that follows it slowly."""

from __future__ import annotations

from typing import Any, TypeVar

from lightly.models.utils import update_momentum
from lightly.utils.scheduler import cosine_schedule
from pydantic import Field
from torch import nn

from learn.methods.base import Method
from lensphys.ground.config import Strict


class Momentum(Strict):
    """Parameters of a teacher, an exponential moving average of its student."""

    momentum_start: float = Field(ge=0, le=1)
    momentum_end: float = Field(ge=0, le=1)


ModuleT = TypeVar("ModuleT", bound=nn.Module)


class TeacherMethod(Method):
    """A method whose teachers follow their students after every step of the optimiser."""

    params: Any

    def follow(self, student: nn.Module, teacher: ModuleT) -> ModuleT:
        """Make ``teacher``, of the student's architecture, start from it and follow it."""
        teacher.load_state_dict(student.state_dict())
        teacher.requires_grad_(False)
        self.__dict__.setdefault("pairs", []).append((student, teacher))
        return teacher

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.update_teachers()

    def update_teachers(self) -> None:
        """Move every teacher towards its student, by a momentum on a cosine over the run."""
        momentum = cosine_schedule(
            min(self.global_step, self.total_steps),
            self.total_steps,
            self.params.momentum_start,
            self.params.momentum_end,
        )
        for student, teacher in self.pairs:
            update_momentum(student, teacher, momentum)
