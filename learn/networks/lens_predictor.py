"""Predictor of I-JEPA that knows which part of the source a patch shows."""

from __future__ import annotations

import torch
from lightly.models.modules.ijepa_timm import IJEPAPredictorTIMM
from torch import Tensor, nn


class LensPredictor(IJEPAPredictorTIMM):
    """Predict hidden tokens from others, by their places in the image and in the source plane.

    A lens shows a piece of the source in several places. Patches that show the same piece are alike
    in the source plane, however far apart they are in the image: what one of them shows can be
    looked up in the others.

    Args:
        waves: numbers that describe the place of a patch in the source plane.
        predictor_embed_dim: width of the predictor.
        kwargs: of the predictor of lightly.
    """

    def __init__(self, waves: int, *, predictor_embed_dim: int, **kwargs: int) -> None:
        super().__init__(predictor_embed_dim=predictor_embed_dim, **kwargs)
        self.from_source = nn.Linear(waves, predictor_embed_dim, bias=False)

    def forward(  # type: ignore[override]
        self, tokens: Tensor, context: Tensor, targets: list[Tensor], waves: Tensor
    ) -> Tensor:
        """Tokens (T * B, m, D) of T sets of targets, one set after the other.

        Args:
            tokens: (B, n, D), those of the context.
            context: (B, n) their patches.
            targets: T times (B, m) patches.
            waves: (B, h * w, K) of all patches, see
                :meth:`learn.networks.encoder.Encoder.source_waves`.
        """
        places = self.decoder.pos_embed + self.from_source(waves)
        seen = self.predictor_embed(tokens) + _gather(places, context)
        rows = []
        for target in targets:
            asked = self.decoder.mask_token + _gather(places, target)
            rows.append(torch.cat([seen, asked], 1))
        found = self.decoder.decode(torch.cat(rows))[:, context.shape[1] :]
        predicted: Tensor = self.predictor_proj(found)
        return predicted


def _gather(values: Tensor, places: Tensor) -> Tensor:
    """Values (B, N, D) of some places (B, n)."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))
