"""Masked autoencoder (He et al. 2022, arXiv:2111.06377)."""

from __future__ import annotations

import math

import torch
from lightly.models.modules.masked_vision_transformer_decoder_timm import (
    MaskedVisionTransformerDecoderTIMM,
)
from lightly.models.utils import get_at_index, patchify, random_token_mask, set_at_index
from pydantic import Field, model_validator
from torch import Tensor, nn

from learn.data import Batch
from learn.methods.base import Method
from learn.views.middle import bin_middle
from learn.views.symmetries import random_symmetry
from lensphys.ground.config import Strict
from simulate.augment.transforms import turn_images
from simulate.dataset.padding import find_shown


class MAE(Method):
    """Reconstruct the patches that were hidden from those that were not."""

    class Params(Strict):
        """Parameters of the method."""

        mask_ratio: float = Field(gt=0, lt=1)
        decoder_dim: int = Field(gt=0, multiple_of=4)
        decoder_depth: int = Field(gt=0)
        decoder_heads: int = Field(gt=0)
        normalize_patches: bool = Field(description="targets of zero mean and unit variance")

        @model_validator(mode="after")
        def _divides(self) -> MAE.Params:
            if self.decoder_dim % self.decoder_heads:
                raise ValueError("decoder_dim must be a multiple of decoder_heads")
            return self

    def setup_method(self, params: Params) -> None:
        self.params = params
        encoder = self.config.encoder
        self.patches = self.encoder.grid**2
        self.embed = nn.Linear(encoder.embed_dim, params.decoder_dim)
        self.decoder = MaskedVisionTransformerDecoderTIMM(
            num_patches=self.patches,
            embed_dim=params.decoder_dim,
            depth=params.decoder_depth,
            num_heads=params.decoder_heads,
            num_prefix_tokens=0,
        )
        self.predict = nn.Linear(params.decoder_dim, encoder.patch_size**2)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        (image,) = views
        return {"loss": self._reconstruct(image, None)}

    def _reconstruct(self, image: Tensor, weight: Tensor | None) -> Tensor:
        """Mean square error of the hidden patches, a scalar.

        Args:
            image: stretched (B, 1, H, W).
            weight: (B, 1, H, W) of its pixels, from 0 to 1; None where all count alike.
        """
        keep, hidden = random_token_mask(
            (len(image), self.patches),
            self.params.mask_ratio,
            mask_class_token=True,  # there is none: any patch may be hidden
            device=image.device,
        )
        visible = self.embed(self.encoder(image, keep))
        tokens = self.decoder.mask_token.to(visible.dtype).expand(len(image), self.patches, -1)
        tokens = set_at_index(tokens.clone(), keep, visible)
        predicted = self.predict(get_at_index(self.decoder(tokens), hidden))
        size = self.config.encoder.patch_size
        target = get_at_index(patchify(image, size), hidden)
        if weight is None:
            if self.params.normalize_patches:
                mean, var = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
                target = (target - mean) / (var + 1e-6).sqrt()
            return nn.functional.mse_loss(predicted, target)
        weight = get_at_index(patchify(weight, size), hidden)
        if self.params.normalize_patches:
            target = _normalise(target, weight)
        square = weight * (predicted - target).square()
        error: Tensor = square.sum() / weight.sum().clamp_min(1.0)
        return error

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch, in which padding is nothing to reconstruct."""
        # Turned by any angle, images have no padding that could be told.
        if batch.padding is None or self.config.jitter.affine:
            return super().losses(batch)
        image, symmetry = batch.image, None
        ny, nx = image.shape[-2:]
        mask = find_shown(batch.padding.cpu().numpy(), (ny, nx))
        shown = torch.from_numpy(mask[:, None]).to(image)
        if self.config.augment:
            symmetry = random_symmetry(len(image), image.device)
            shown = _erode(turn_images(shown, symmetry), math.ceil(self.config.jitter.shift))
        side, factor = self.config.encoder.image_size, self.config.binning or 1
        weight = bin_middle(shown, side, factor) / factor**2
        return {"loss": self._reconstruct(self.view(batch, symmetry), weight)}


def _normalise(patches: Tensor, weight: Tensor) -> Tensor:
    """Patches (B, n, P) of zero mean and unit variance, both weighted as their pixels are."""
    total = weight.sum(-1, keepdim=True)
    mean = (weight * patches).sum(-1, keepdim=True) / total.clamp_min(1e-6)
    square = (weight * (patches - mean).square()).sum(-1, keepdim=True)
    # Of equal weights it is the variance of a sample, as in images without padding.
    return (patches - mean) / (square / (total - 1.0).clamp_min(1.0) + 1e-6).sqrt()


def _erode(shown: Tensor, pixels: int) -> Tensor:
    """A mask (B, 1, H, W) less what a shift by so many pixels along each axis can hide.

    What leaves the image on one side enters on the other, see
    :func:`learn.views.jitter.shift_and_blur`.
    """
    if not pixels:
        return shown
    hidden = nn.functional.pad(1.0 - shown, (pixels,) * 4, mode="circular")
    return 1.0 - nn.functional.max_pool2d(hidden, 2 * pixels + 1, 1)
