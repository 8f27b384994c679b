"""Image joint-embedding predictive architecture (Assran et al. 2023, arXiv:2301.08243)."""

from __future__ import annotations

from typing import Any

import torch
from lightly.models.modules.ijepa_timm import IJEPAPredictorTIMM
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import PositiveRange
from learn.methods.teacher import Momentum, TeacherMethod
from learn.networks.encoder import Encoder, Prepared
from learn.views.masking import jepa_masks


class IJEPA(TeacherMethod):
    """Predict a teacher's features of hidden blocks from the features of the rest."""

    teacher: Encoder
    sees_fits = True

    class Params(Momentum):
        """Parameters of the method."""

        predictor_dim: int = Field(gt=0, multiple_of=4)
        predictor_depth: int = Field(gt=0)
        predictor_heads: int = Field(gt=0)
        targets: int = Field(gt=0, description="target blocks an image")
        target_scale: PositiveRange
        target_aspect: PositiveRange
        context_scale: PositiveRange
        variance_weight: float = Field(ge=0, description="weight of the guard against collapse")
        least_spread: float = Field(
            ge=0, le=1, description="over images, of normalised tokens: what the guard asks for"
        )

        @model_validator(mode="after")
        def _divides(self) -> IJEPA.Params:
            if self.predictor_dim % self.predictor_heads:
                raise ValueError("predictor_dim must be a multiple of predictor_heads")
            return self

    def setup_method(self, params: Params) -> None:
        self.params = params
        encoder = self.config.encoder
        self.teacher = self.follow(self.encoder, Encoder(encoder))
        self.predictor = self.make_predictor(
            num_patches=self.encoder.grid**2,
            depth=params.predictor_depth,
            mlp_dim=encoder.embed_dim,
            predictor_embed_dim=params.predictor_dim,
            num_heads=params.predictor_heads,
        )

    def make_predictor(self, **sizes: int) -> nn.Module:
        """The network that predicts the features of hidden blocks."""
        predictor: nn.Module = IJEPAPredictorTIMM(**sizes)
        return predictor

    @property
    def exported(self) -> Encoder:
        return self.teacher

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        (image,) = views
        prepared, known = self.encoder.prepare(image), self.known(image)
        return self.prediction(prepared, *self.masks(image), known=known)

    def known(self, image: Tensor) -> dict[str, Tensor]:
        """Maps of views that the predictor knows beside the places of their patches, by name."""
        return {}

    def prediction(
        self,
        image: Prepared,
        context: Tensor,
        targets: list[Tensor],
        shown: Prepared | None = None,
        known: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of predicting the targets (B, h * w) of images from their context (B, n).

        Args:
            image: views that the student sees the context of.
            context, targets: patches.
            shown: views that the teacher sees; the same by default.
            known: see :meth:`known`.
        """
        params = self.params
        device = image.patches.device
        context, targets = context.to(device), [t.to(device) for t in targets]
        with torch.no_grad():
            features = self.teacher(image if shown is None else shown)
            features = F.layer_norm(features, features.shape[-1:])
            hidden = torch.cat(
                [
                    features.gather(1, t.unsqueeze(-1).expand(-1, -1, features.shape[-1]))
                    for t in targets
                ]
            )
        seen = self.encoder(image, context)
        predicted = self.predictor(seen, context, targets, **(known or {}))
        prediction = F.smooth_l1_loss(predicted, hidden)
        # VICReg's hinge (Bardes et al. 2022, eq. 1): what is the same for all images carries
        # no information about any of them.
        spread = spread_over_images(F.layer_norm(seen, seen.shape[-1:]), context)
        variance = F.relu(params.least_spread - spread).mean()
        return {
            "loss": prediction + params.variance_weight * variance,
            "prediction": prediction,
            "spread_over_images": spread.mean(),
            "feature_std": features.float().mean(1).std(0).mean(),
        }

    def masks(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Context and target patches of a batch of images."""
        return jepa_masks(len(image), self.encoder.grid, **self.mask_settings())

    def mask_settings(self) -> dict[str, Any]:
        """Settings by which blocks are drawn."""
        params = self.params
        return {
            "targets": params.targets,
            "target_scale": params.target_scale,
            "target_aspect": params.target_aspect,
            "context_scale": params.context_scale,
        }


def spread_over_images(tokens: Tensor, places: Tensor) -> Tensor:
    """Standard deviation (D,) of tokens (B, n, D) over the images that have a token at one place.

    The mean at each place is taken off first. Without that, images that are cut to different
    contexts differ by the positions of their patches alone, and a network that looks at nothing
    else would satisfy the guard.

    Args:
        tokens: of patches.
        places: (B, n) indices of the patches.
    """
    flat, place = tokens.float().flatten(0, 1), places.flatten()
    _, place = place.unique(return_inverse=True)
    number = place.bincount()
    shared = torch.zeros(len(number), flat.shape[1], device=flat.device)
    shared = shared.index_add(0, place, flat) / number.unsqueeze(1)
    squares = (flat - shared[place]).pow(2).sum(0)
    spread: Tensor = (squares / max(len(flat) - len(number), 1) + 1e-6).sqrt()
    return spread
