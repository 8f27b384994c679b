"""SimCLR (Chen et al. 2020, arXiv:2002.05709)."""

from __future__ import annotations

import math

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules.heads import SimCLRProjectionHead
from pydantic import Field
from torch import Tensor

from learn.methods.base import Method
from lensphys.ground.config import Strict


class SimCLR(Method):
    """Find the other view of an image among all views of all images in the batch."""

    views = 2
    smallest_batch = 2

    class Params(Strict):
        """Parameters of the method."""

        hidden_dim: int = Field(gt=0)
        output_dim: int = Field(gt=0)
        temperature: float = Field(gt=0)

    def setup_method(self, params: Params) -> None:
        self.head = SimCLRProjectionHead(
            self.config.encoder.embed_dim, params.hidden_dim, params.output_dim
        )
        self.criterion = NTXentLoss(params.temperature, gather_distributed=True)

    def blind_losses(self, batch: int) -> dict[str, float]:
        return {"loss": math.log(2 * batch - 1)}

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        # In one pass, so that the head's batch norm is over both views.
        first, second = self.head(self.encoder.features(torch.cat(views))).chunk(2)
        return {"loss": self.criterion(first, second)}
