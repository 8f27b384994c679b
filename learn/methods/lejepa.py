"""LeJEPA (Balestriero & LeCun 2025, arXiv:2511.08544)."""

from __future__ import annotations

from typing import Any

import torch
from lightly.loss.lejepa_loss import SIGReg, lejepa_invariance_loss
from lightly.models.modules.heads import LeJEPAProjectionHead
from pydantic import Field
from torch import Tensor

from learn.methods.base import Method
from lensphys.ground.config import Strict


class LeJEPA(Method):
    """Agree on two views, with projections that are distributed as an isotropic Gaussian.

    The Gaussian keeps the features from collapsing: there is no teacher and no stopped gradient.
    Both views are whole images, since the zoomed crops of the paper would change the Einstein
    radius.
    """

    views = 2
    smallest_batch = 2

    class Params(Strict):
        """Parameters of the method."""

        hidden_dim: int = Field(gt=0)
        output_dim: int = Field(gt=0)
        sigreg_weight: float = Field(
            gt=0, lt=1, description="of the distance from the Gaussian; agreement has the rest"
        )
        directions: int = Field(gt=0, description="random ones along which it is measured")

    def setup_method(self, params: Any) -> None:
        self.params = params
        width = self.config.encoder.embed_dim
        self.head = LeJEPAProjectionHead(width, params.hidden_dim, params.output_dim)
        self.sigreg = SIGReg(num_vectors=params.directions, gather_distributed=True)

    def blind_losses(self, batch: int) -> dict[str, float]:
        # All projections at the origin: of all single points, it is the nearest to the Gaussian.
        origin = torch.zeros(batch, self.params.output_dim, device=self.device)
        return {"sigreg": float(self.sigreg(origin))}

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        return self.agreement(self.encoder.features(torch.cat(views)))

    def agreement(self, features: Tensor) -> dict[str, Tensor]:
        """Losses of features (2 B, D), those of one view after those of the other.

        ``sigreg`` is the statistic of Epps and Pulley, which grows with the batch: about 1 for a
        Gaussian sample.
        """
        # In one pass, so that the head's batch norm is over both views.
        projected = self.head(features).float().unflatten(0, (self.views, -1))
        # Half precision would round the phases of the characteristic function.
        with torch.autocast(projected.device.type, enabled=False):
            invariance = lejepa_invariance_loss(all_proj=projected, global_proj=projected)
            sigreg = self.sigreg(projected)
        weight = self.params.sigreg_weight
        loss = (1 - weight) * invariance + weight * sigreg
        return {"loss": loss, "invariance": invariance, "sigreg": sigreg}
