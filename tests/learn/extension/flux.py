"""The method ``flux``: learn the mean of the stretched image."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from learn.methods.base import Method
from lensphys.ground.config import Strict


class Flux(Method):
    """A linear layer on the features predicts the mean of the image."""

    class Params(Strict):
        """Parameters of the method."""

        weight: float = Field(gt=0)

    def setup_method(self, params: Params) -> None:
        self.weight = params.weight
        self.head = nn.Linear(self.config.encoder.embed_dim, 1)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        (view,) = views
        predicted = self.head(self.encoder.features(view))[:, 0]
        return {"loss": self.weight * F.mse_loss(predicted, view.mean((1, 2, 3)))}
