"""The encoder: a timm vision transformer for single-channel images of any size."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from lightly.models.utils import initialize_2d_sine_cosine_positional_embedding
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import EncoderConfig
from learn.lens_fits.channels import STACK

#: Units of what is drawn as asinh: the response is some hundred sigma per arcsec.
_SCALES = {"residual": 1.0, "response": 0.1, "snr": 1.0}
#: Mean and scatter of the logarithm of the error of a mass.
_LOG_ERROR = (-1.4, 0.5)
#: Wavelengths of positions in the source plane, in half-light radii (of their asinh, far out).
_WAVELENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
#: Numbers that describe such a position: a sine and a cosine of each, along x and y.
N_WAVES = 4 * len(_WAVELENGTHS)


class Prepared(NamedTuple):
    """Images as an encoder prepares them before any weight comes in.

    A student and its teacher can share them, and so can several passes of one encoder.
    """

    patches: Tensor
    """(B, C, H, W) that patches are cut from"""
    waves: Tensor | None
    """(B, n, K) sines and cosines of positions in the source plane, where the encoder has them"""

    def first(self, count: int) -> Prepared:
        """The first so many images."""
        return Prepared(self.patches[:count], None if self.waves is None else self.waves[:count])


class _Patches(PatchEmbed):  # type: ignore[misc]
    """timm's tokens (B, h, w, D) of patches, their convolution written as the product that it is.

    On a CPU the gradients of a convolution take ten times as long in half precision.
    """

    def forward(self, image: Tensor) -> Tensor:
        side = self.patch_size[0]
        image = F.pad(image, (0, -image.shape[3] % side, 0, -image.shape[2] % side))
        pieces = image.unflatten(3, (-1, side)).unflatten(2, (-1, side))
        pieces = pieces.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(pieces, self.proj.weight.flatten(1), self.proj.bias)


class Encoder(nn.Module):
    """Patch tokens of an image, from a ViT with fixed sine-cosine positions and no class token.

    Images of another size than it was made for are padded to whole patches, and the position
    embedding is interpolated, so that one encoder serves 64 and 150 pixels.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.vit = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            in_chans=count_channels(config),
            num_classes=0,
            global_pool="avg",
            fc_norm=False,  # the norm belongs to the tokens, not to a head
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            class_token=False,
            dynamic_img_size=True,
            dynamic_img_pad=True,
            embed_layer=_Patches,
        )
        initialize_2d_sine_cosine_positional_embedding(self.vit.pos_embed, num_prefix_tokens=0)
        self.vit.pos_embed.requires_grad = False
        self.source_plane: nn.Linear | None = None
        if config.lens_fit and config.lens_fit.source_plane:
            self.source_plane = nn.Linear(N_WAVES, config.embed_dim)

    @property
    def width(self) -> int:
        """Features that an image has."""
        return self.config.embed_dim

    @property
    def grid(self) -> int:
        """Patches on a side of an image of the size it was made for."""
        return self.config.image_size // self.config.patch_size

    def forward(
        self,
        image: Tensor | Prepared,
        keep: Tensor | None = None,
        *,
        hidden: Tensor | None = None,
        token: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, n, D) of images (B, 1, H, W), of the patches ``keep`` (B, n) where given.

        An encoder that sees lens fits takes stacks (B, 11, H, W) of flux and channels, laid out as
        :data:`learn.lens_fits.channels.STACK`. Images that :meth:`prepare` has prepared serve too.

        Patches that are not kept are dropped before the first block: they cost nothing. Those that
        are ``hidden`` (B, grid * grid), true where so, are replaced by ``token`` (D,).
        """
        prepared = image if isinstance(image, Prepared) else self.prepare(image)
        patches = self.vit.patch_embed(prepared.patches)
        if hidden is not None:
            assert token is not None
            where = hidden.view(*patches.shape[:3], 1)
            patches = torch.where(where, token.to(patches.dtype), patches)
        tokens = self.vit._pos_embed(patches)
        if self.source_plane is not None:
            tokens = tokens + self.source_plane(prepared.waves)
        if keep is not None:
            tokens = tokens.gather(1, keep.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        return self.vit.norm(self.vit.blocks(tokens))  # type: ignore[no-any-return]

    def features(self, image: Tensor | Prepared) -> Tensor:
        """Mean of the tokens (B, D)."""
        tokens: Tensor = self(image)
        return tokens.mean(1)

    def prepare(self, image: Tensor) -> Prepared:
        """Prepare images for any encoder of this configuration."""
        patches, fit = image, self.config.lens_fit
        if fit is not None:
            # Linear in the noise, logarithmic in what lies far above it.
            parts = [image[:, STACK["flux"]]]
            shown = _shown_beside_flux(self.config)
            if shown:
                scaled = [image[:, STACK[name]] * _SCALES[name] for name in shown]
                parts.append(asinh(torch.cat(scaled, 1)))
            if fit.detection:
                parts.append((image[:, STACK["log_error"]] - _LOG_ERROR[0]) / _LOG_ERROR[1])
            patches = torch.cat(parts, 1)
        waves = None if self.source_plane is None else self.source_waves(image)
        return Prepared(patches, waves)

    def source_waves(self, image: Tensor) -> Tensor:
        """Sines and cosines (B, n, K) of the position in the source plane that a patch shows.

        Args:
            image: stacks (B, 11, H, W) of flux and channels.
        """
        # Far out it does not matter where.
        place = asinh(image[:, STACK["source_plane"]])
        place = F.avg_pool2d(place, self.config.patch_size, ceil_mode=True).flatten(2).mT
        waves = 2 * math.pi / image.new_tensor(_WAVELENGTHS)
        phase = (place[..., None] * waves).flatten(2)
        return torch.cat([phase.sin(), phase.cos()], 2)


def _shown_beside_flux(config: EncoderConfig) -> tuple[str, ...]:
    """Names of the parts of a stack that patches show beside the flux, without further work."""
    fit = config.lens_fit
    if fit is None:
        return ()
    shown = {
        "residual": fit.residual != "none",
        "response": fit.response,
        "snr": fit.detection,
    }
    return tuple(name for name, wanted in shown.items() if wanted)


def count_channels(config: EncoderConfig) -> int:
    """Number of channels that patches are cut from."""
    beside = sum(STACK.parts[name] for name in _shown_beside_flux(config))
    searched = bool(config.lens_fit and config.lens_fit.detection)
    return 1 + beside + searched * STACK.parts["log_error"]


def asinh(x: Tensor) -> Tensor:
    """The inverse hyperbolic sine, to rounding."""
    if x.requires_grad:
        return torch.asinh(x)
    # The library's is worked out number by number on a CPU; this takes a third of its time.
    far = x.square()
    root = (far + 1).sqrt_().add_(1)
    return far.div_(root).add_(x.abs()).log1p_().copysign_(x)
