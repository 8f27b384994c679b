"""MoCo v3 (Chen, Xie & He 2021, arXiv:2104.02057)."""

from __future__ import annotations

import math

import torch
from lightly.models.modules.heads import MoCoProjectionHead
from lightly.utils import dist
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from learn.methods.teacher import Momentum, TeacherMethod
from learn.networks.encoder import Encoder


class MoCo(TeacherMethod):
    """Find a slowly moving teacher's key of the other view among those of the batch."""

    views = 2
    smallest_batch = 2

    teacher: Encoder

    class Params(Momentum):
        """Parameters of the method."""

        hidden_dim: int = Field(gt=0)
        output_dim: int = Field(gt=0)
        temperature: float = Field(gt=0)
        freeze_patch_embedding: bool = Field(description="steadier for a ViT (section 4.2)")

    def setup_method(self, params: Params) -> None:
        self.params = params
        width, hidden, out = self.config.encoder.embed_dim, params.hidden_dim, params.output_dim

        def projection() -> MoCoProjectionHead:
            return MoCoProjectionHead(width, hidden, out, num_layers=3, batch_norm=True)

        self.projection = projection()
        self.prediction = MoCoProjectionHead(out, hidden, out, num_layers=2, batch_norm=True)
        self.teacher = self.follow(self.encoder, Encoder(self.config.encoder))
        self.teacher_projection = self.follow(self.projection, projection())
        if params.freeze_patch_embedding:
            self.encoder.vit.patch_embed.requires_grad_(False)

    def blind_losses(self, batch: int) -> dict[str, float]:
        return {"loss": 4 * self.params.temperature * math.log(batch)}

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        temperature = self.params.temperature
        queries = [self.prediction(self.projection(self.encoder.features(v))) for v in views]
        with torch.no_grad():
            keys = [self.teacher_projection(self.teacher.features(v)) for v in views]
        first = contrast(queries[0], keys[1], temperature)
        return {"loss": first + contrast(queries[1], keys[0], temperature)}


def contrast(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries (B, D) against the keys (B, D) of all processes (algorithm 1).

    Scaled by twice the temperature, as in the paper, so that a learning rate suits all.
    """
    query, key = F.normalize(query, dim=1), F.normalize(key, dim=1)
    keys = torch.cat(dist.gather(key)) if dist.world_size() > 1 else key
    own = torch.arange(len(query), device=query.device) + dist.rank() * len(query)
    return 2 * temperature * F.cross_entropy(query @ keys.T / temperature, own)
