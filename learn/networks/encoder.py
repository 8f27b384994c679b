"""The encoder: a timm vision transformer for single-channel images of any size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from lightly.models.utils import initialize_2d_sine_cosine_positional_embedding
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from learn.config import EncoderConfig
from learn.lens_fits.channels import RESIDUAL, RESPONSE, SOURCE_PLANE
from learn.lens_fits.detection import detection_map
from learn.networks.rcan import RCAN, Rcan, RcanConfig
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from lensphys.ground.config import checked
from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing, write_text

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"
#: Units of residual and response: the response is some hundred sigma per arcsec.
_SCALES = (1.0, 0.1, 0.1)
#: Of places in the source plane, in half-light radii (of their asinh, far out).
_WAVELENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)


class Seen(NamedTuple):
    """What an encoder makes of images before any weight comes in.

    A student and its teacher can share it, and so can several passes of one encoder.
    """

    patches: Tensor
    """(B, C, H, W) what patches are made of"""
    waves: Tensor | None
    """(B, n, K) of the places in the source plane, where the encoder is told"""

    def first(self, count: int) -> Seen:
        """Of the first so many images."""
        return Seen(self.patches[:count], None if self.waves is None else self.waves[:count])


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
        self._beside = _seen_beside(config)
        self.vit = VisionTransformer(
            img_size=config.image_size,
            patch_size=config.patch_size,
            in_chans=_patch_channels(config),
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
        if config.prior and config.prior.source_plane:
            self.source_plane = nn.Linear(4 * len(_WAVELENGTHS), config.embed_dim)

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
        image: Tensor | Seen,
        keep: Tensor | None = None,
        *,
        hidden: Tensor | None = None,
        token: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, n, D) of images (B, 1, H, W), of the patches ``keep`` (B, n) where given.

        With a lens prior the images are stacks (B, 7, H, W) of flux and the channels of the
        prior (:mod:`learn.lens_fits.channels`). What :meth:`seen` makes of images serves as well
        as they do.

        Patches that are not kept are dropped before the first block: they cost nothing. Those that
        are ``hidden`` (B, grid * grid), true where so, are replaced by ``token`` (D,).
        """
        seen = image if isinstance(image, Seen) else self.seen(image)
        patches = self.vit.patch_embed(seen.patches)
        if hidden is not None:
            assert token is not None
            where = hidden.view(*patches.shape[:3], 1)
            patches = torch.where(where, token.to(patches.dtype), patches)
        tokens = self.vit._pos_embed(patches)
        if self.source_plane is not None:
            tokens = tokens + self.source_plane(seen.waves)
        if keep is not None:
            tokens = tokens.gather(1, keep.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
        return self.vit.norm(self.vit.blocks(tokens))  # type: ignore[no-any-return]

    def features(self, image: Tensor | Seen) -> Tensor:
        """Mean of the tokens (B, D)."""
        tokens: Tensor = self(image)
        return tokens.mean(1)

    def seen(self, image: Tensor) -> Seen:
        """What any encoder of this configuration makes of images before its weights come in."""
        patches = image
        if self.config.prior is not None:
            # Linear in the noise, logarithmic in what lies far above it.
            scale = image.new_tensor((1.0, *_SCALES)[self._beside]).view(-1, 1, 1)
            parts = [image[:, :1], asinh(image[:, self._beside] * scale)]
            if self.config.prior.detection:
                parts.append(asinh(detection_map(image[:, RESIDUAL], image[:, RESPONSE])))
            patches = torch.cat(parts, 1)
        return Seen(patches, None if self.source_plane is None else self._source_positions(image))

    def _source_positions(self, image: Tensor) -> Tensor:
        """Sines and cosines (B, n, K) of where in the source plane each patch comes from."""
        # Far out it does not matter where.
        place = asinh(image[:, SOURCE_PLANE])
        place = F.avg_pool2d(place, self.config.patch_size, ceil_mode=True).flatten(2).mT
        waves = 2 * math.pi / image.new_tensor(_WAVELENGTHS)
        phase = (place[..., None] * waves).flatten(2)
        return torch.cat([phase.sin(), phase.cos()], 2)


def _seen_beside(config: EncoderConfig) -> slice:
    """Which channels of a stack of flux and lens prior patches are made of, beside the flux."""
    prior = config.prior
    if prior is None:
        return slice(1, 1)
    return slice(1 if prior.residual != "none" else 2, 4 if prior.response else 2)


def _patch_channels(config: EncoderConfig) -> int:
    """How many channels patches are made of."""
    beside = _seen_beside(config)
    searched = bool(config.prior and config.prior.detection)
    return 1 + int(beside.stop - beside.start) + int(searched)


def asinh(x: Tensor) -> Tensor:
    """The inverse hyperbolic sine, to rounding."""
    if x.requires_grad:
        return torch.asinh(x)
    # The library's is worked out number by number on a CPU; this takes a third of its time.
    far = x.square()
    root = (far + 1).sqrt_().add_(1)
    return far.div_(root).add_(x.abs()).log1p_().copysign_(x)


#: What a task is built on.
Backbone = Encoder | TimmBackbone | Rcan


def save_encoder(encoder: Backbone, folder: Path, description: dict[str, object]) -> None:
    """Write ``encoder.safetensors`` and, last, ``encoder.json``, which marks it as complete."""
    with replacing(folder / WEIGHTS) as temporary:
        save_file({k: v.cpu().contiguous() for k, v in encoder.state_dict().items()}, temporary)
    content = description | {"encoder": encoder.config.model_dump()}
    write_text(folder / DESCRIPTION, json.dumps(content, indent=1) + "\n")


def load_encoder(folder: Path) -> Backbone:
    """The encoder that a run has left.

    Raises:
        InputError: for a folder without a finished encoder, or weights of another architecture.
    """
    path = folder / DESCRIPTION
    if not (path.is_file() and (folder / WEIGHTS).is_file()):
        raise InputError(
            f"{folder} has no finished encoder; give the folder of a finished "
            "`python cli.py pretrain` run, or --encoder none"
        )
    try:
        section = json.loads(path.read_text(encoding="utf-8"))["encoder"]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged; run its pretrain command again") from None
    encoder = described_encoder(section, str(path))
    load_weights(encoder, folder / WEIGHTS)
    return encoder


def described_encoder(section: dict[str, object], where: str) -> Backbone:
    """The encoder with this configuration, of random weights.

    Raises:
        InputError: for a configuration that is of no encoder, naming ``where`` it stands.
    """
    if isinstance(section, dict) and section.get("backbone") == RCAN:
        return Rcan(checked(RcanConfig, section, where))
    if isinstance(section, dict) and "backbone" in section:
        return TimmBackbone(checked(TimmConfig, section, where))
    return Encoder(checked(EncoderConfig, section, where))


def load_weights(module: nn.Module, path: Path) -> None:
    """Load safetensors weights into a module.

    Raises:
        InputError: for an unreadable file or weights of another architecture.
    """
    try:
        module.load_state_dict(load_file(path))
    except (SafetensorError, OSError):
        raise InputError(f"{path} cannot be read as safetensors; it is truncated or foreign") from (
            None
        )
    except RuntimeError:
        raise InputError(
            f"the weights in {path} belong to another architecture than {path.parent} describes"
        ) from None


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


__all__ = [
    "Backbone",
    "Encoder",
    "count_parameters",
    "described_encoder",
    "load_encoder",
    "load_weights",
    "save_encoder",
]
