"""iBOT (Zhou et al. 2022, arXiv:2111.07832)."""

from __future__ import annotations

from typing import Any

import torch
from lightly.loss import IBOTPatchLoss
from pydantic import Field
from torch import Tensor, nn

from learn.config import PositiveRange
from learn.methods.dino import DINO
from learn.views.masking import random_blocks


class IBOT(DINO):
    """DINO, and the same of hidden patches: name the teacher's class of what is not seen.

    The student sees its two whole views with a block hidden in half of the images. Both losses
    share one head, as in the paper.
    """

    class Params(DINO.Params):
        """Parameters of the method."""

        mask_scale: PositiveRange = Field(description="area of the hidden block")
        mask_aspect: PositiveRange = Field(description="its height over its width")
        patch_weight: float = Field(ge=0)

    def setup_method(self, params: Any) -> None:
        super().setup_method(params)
        self.mask_token = nn.Parameter(torch.zeros(self.config.encoder.embed_dim))
        self.patch_criterion = IBOTPatchLoss(
            params.prototypes,
            student_temp=params.student_temperature,
            center_momentum=params.center_momentum,
        )

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        whole = torch.cat(views[:2])
        hidden = self.hidden_patches(len(whole)).to(whole.device)
        with torch.no_grad():
            tokens = self.teacher(whole)
            taught = self.teacher_head(tokens.mean(1))
            taught_patches = self.teacher_head(tokens[hidden])
        tokens = self.encoder(whole, hidden=hidden, token=self.mask_token)
        learnt = [*self.head(tokens.mean(1)).chunk(2), *self.local_outputs(views[2:])]
        losses = self.image_losses(taught, learnt)
        patch = self.patch_criterion(
            taught_patches,
            self.head(tokens[hidden]),
            hidden.unflatten(1, (self.encoder.grid, self.encoder.grid)),
            teacher_temp=self.temperature(),
        )
        loss = losses["image"] + self.params.patch_weight * patch
        return losses | {"loss": loss, "patch": patch}

    def hidden_patches(self, count: int) -> Tensor:
        """(B, grid * grid), true where hidden: a block in half of the images, at least in one."""
        params = self.params
        block = random_blocks(count, self.encoder.grid, params.mask_scale, params.mask_aspect)
        chosen = torch.randperm(count) < (count + 1) // 2
        return block & chosen.unsqueeze(1)
