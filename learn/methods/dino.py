"""DINO (Caron et al. 2021, arXiv:2104.14294)."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from lightly.utils.scheduler import linear_warmup_schedule
from pydantic import Field, model_validator
from torch import Tensor

from learn.methods.teacher import Momentum, TeacherMethod
from learn.networks.encoder import Encoder
from learn.views.masking import random_blocks


class DINO(TeacherMethod):
    """Agree with a teacher, across views and from parts to the whole, on a soft class.

    Local views are windows of the image at its own pixel scale: the patches outside are dropped,
    and those inside keep their true positions. The windows of the paper are zoomed, which would
    change the Einstein radius. With no class token, the mean of the tokens is what is classified.
    """

    smallest_batch = 2
    teacher: Encoder

    class Params(Momentum):
        """Parameters of the method."""

        hidden_dim: int = Field(gt=0)
        bottleneck_dim: int = Field(gt=0)
        prototypes: int = Field(gt=1, description="soft classes: K in the paper")
        batch_norm: bool = Field(description="batch norm in the head")
        local_views: int = Field(ge=0)
        local_side: float = Field(gt=0, le=1, description="side of a window over that of the image")
        student_temperature: float = Field(gt=0)
        teacher_temperature_start: float = Field(gt=0)
        teacher_temperature: float = Field(gt=0)
        temperature_warmup: float = Field(ge=0, le=1, description="fraction of the run")
        center_momentum: float = Field(ge=0, le=1)
        freeze_last_layer_epochs: int = Field(ge=0)

        @model_validator(mode="after")
        def _warms_up(self) -> DINO.Params:
            if self.teacher_temperature < self.teacher_temperature_start:
                raise ValueError("teacher_temperature must not be below teacher_temperature_start")
            return self

    def setup_method(self, params: Any) -> None:
        self.params = params
        self.views = 2 + params.local_views
        self.head, head = self._head(), self._head()
        self.teacher = self.follow(self.encoder, Encoder(self.config.encoder))
        self.teacher_head = self.follow(self.head, head)
        self.criterion = DINOLoss(
            params.prototypes,
            student_temp=params.student_temperature,
            center_momentum=params.center_momentum,
        )

    def _head(self) -> DINOProjectionHead:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # lightly's use of weight_norm
            return DINOProjectionHead(
                self.config.encoder.embed_dim,
                self.params.hidden_dim,
                self.params.bottleneck_dim,
                self.params.prototypes,
                batch_norm=self.params.batch_norm,
                freeze_last_layer=self.params.freeze_last_layer_epochs,
            )

    @property
    def exported(self) -> Encoder:
        return self.teacher

    @property
    def views_per_image(self) -> float:
        window = round(self.params.local_side * self.encoder.grid) / self.encoder.grid
        return float(2 + self.params.local_views * window**2)

    def blind_losses(self, batch: int) -> dict[str, float]:
        return {"image": math.log(self.params.prototypes)}

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        whole = torch.cat(views[:2])
        with torch.no_grad():
            taught = self.teacher_head(self.teacher.features(whole))
        learnt = self.head(self.encoder.features(whole))
        return self.image_losses(taught, [*learnt.chunk(2), *self.local_outputs(views[2:])])

    def local_outputs(self, views: tuple[Tensor, ...]) -> list[Tensor]:
        """The student's outputs (B, K) for a random window of each view."""
        if not views:
            return []
        images, grid, side = torch.cat(views), self.encoder.grid, self.params.local_side
        window = random_blocks(len(images), grid, (side**2, side**2), (1.0, 1.0))
        keep = window.nonzero()[:, 1].view(len(images), -1).to(images.device)
        outputs: Tensor = self.head(self.encoder(images, keep).mean(1))
        return list(outputs.chunk(len(views)))

    def image_losses(self, taught: Tensor, learnt: list[Tensor]) -> dict[str, Tensor]:
        """The loss over all pairs of views, and how sharp the teacher is.

        ``teacher_entropy`` is ln K where the teacher is uniform, and 0 where it names one class.
        """
        center, temperature = self.criterion.center[0], self.temperature()
        log_taught = torch.log_softmax((taught.float() - center) / temperature, -1)
        entropy = -(log_taught.exp() * log_taught).sum(-1).mean()
        loss = self.criterion(list(taught.chunk(2)), learnt, teacher_temp=temperature)
        return {"loss": loss, "image": loss, "teacher_entropy": entropy}

    def temperature(self) -> float:
        """The teacher's temperature now: it starts low, and rises while the classes form."""
        return float(
            linear_warmup_schedule(
                self.global_step,
                round(self.params.temperature_warmup * self.total_steps),
                self.params.teacher_temperature_start,
                self.params.teacher_temperature,
            )
        )

    def on_after_backward(self) -> None:
        self.head.cancel_last_layer_gradients(self.current_epoch)
