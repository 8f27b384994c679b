"""LeJEPA with the symmetries of a lens, after the public variant Lens-LeJEPA.

Its terms and weights follow github.com/arnesh2212/Lens-FM-DeepLense (2026); the code is ours.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from learn.data import Batch
from learn.methods.lejepa import LeJEPA
from learn.views.jitter import jitter_images
from learn.views.symmetries import random_symmetry
from simulate.augment.transforms import turn_images

#: Kernels (3, 1, 3, 3) whose answers mark arcs: slopes along x and y (Sobel), and the Laplacian.
_SLOPE = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))


class LensLeJEPA(LeJEPA):
    """LeJEPA whose tokens turn with the image, and whose rings about the lens agree.

    Each view is turned by a symmetry of the square that the loss knows, and its tokens are turned
    back. Two terms then compare the views: token by token, and by their means in rings about the
    centre, where patches that show an arc weigh most.
    """

    class Params(LeJEPA.Params):
        """Parameters of the method."""

        symmetry_weight: float = Field(ge=0, description="of the agreement of tokens")
        ring_weight: float = Field(ge=0, description="of the agreement of rings")
        rings: int = Field(gt=0, description="of equal width, to the corners of the image")
        arc_strength: float = Field(
            ge=0, le=1, description="0: all patches of a ring weigh the same; 1: arcs alone"
        )

    params: Params

    def view(self, batch: Batch, symmetry: Tensor | None = None) -> Tensor:
        """A random view of images, as the encoder sees them, and not turned yet."""
        assert symmetry is None  # the loss turns views itself
        image = batch.image
        if self.config.augment:
            image = jitter_images(image, self.config.jitter, self.stretch.softening)
        return self.see(image)

    def loss(self, *views: Tensor) -> dict[str, Tensor]:
        images = torch.cat(views)
        symmetry = random_symmetry(len(images), images.device)
        if not self.config.augment:
            symmetry = torch.zeros_like(symmetry)
        tokens = self.encoder(turn_images(images, symmetry))
        losses = self.agreement(tokens.mean(1))
        with torch.autocast(images.device.type, enabled=False):
            tokens = turn_tokens_back(tokens.float(), symmetry)
            weights = arc_weights(images, self.encoder.config.patch_size, self.params.arc_strength)
            losses["symmetry"] = _distance(tokens)
            losses["ring"] = _distance(ring_means(tokens, weights, self.params.rings))
        losses["loss"] = (
            losses["loss"]
            + self.params.symmetry_weight * losses["symmetry"]
            + self.params.ring_weight * losses["ring"]
        )
        return losses


def turn_tokens_back(tokens: Tensor, symmetry: Tensor) -> Tensor:
    """Tokens (B, n * n, D) of images that :func:`turn_images` has turned, in the places before."""
    side = round(tokens.shape[1] ** 0.5)
    # A turn is undone by the opposite one, and a turn with a flip by itself.
    inverse = torch.where(symmetry < 4, -symmetry % 4, symmetry)
    return turn_images(tokens.mT.unflatten(2, (side, side)), inverse).flatten(2).mT


def arc_weights(image: Tensor, patch: int, strength: float) -> Tensor:
    """Weights (B, n) of patches with mean 1: where brightness has slopes and bends, they are large.

    Args:
        image: (B, 1, H, W).
        patch: pixels on a side.
        strength: 0: all the same; 1: in proportion to slope and bend.
    """
    slope = image.new_tensor(_SLOPE)
    kernels = torch.stack([slope, slope.T, image.new_tensor(_LAPLACIAN)])[:, None]
    answer = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernels)
    seen = answer[:, :2].pow(2).sum(1, keepdim=True).sqrt() + answer[:, 2:].abs()
    seen = F.avg_pool2d(seen, patch, ceil_mode=True).flatten(1)
    return 1 + strength * (seen / seen.mean(1, keepdim=True).clamp_min(1e-6) - 1)


def ring_means(tokens: Tensor, weights: Tensor, rings: int) -> Tensor:
    """Weighted means (B, rings, D) of tokens (B, n * n, D) in rings about the centre.

    Args:
        tokens: of patches.
        weights: (B, n * n) of patches.
        rings: their number; a ring that is thinner than a patch may be empty, with mean 0.
    """
    side = round(tokens.shape[1] ** 0.5)
    place = torch.arange(side, device=tokens.device) - (side - 1) / 2
    radius = torch.hypot(place[:, None], place).flatten()
    ring = (rings * radius / radius.max().clamp_min(1e-6)).long().clamp_max(rings - 1)
    inside = F.one_hot(ring, rings).to(tokens)
    shares = inside * weights[..., None]
    shares = shares / shares.sum(1, keepdim=True).clamp_min(1e-6)
    return shares.mT @ tokens


def _distance(features: Tensor) -> Tensor:
    """Smooth L1 distance of the normalised features (2 B, n, D) of one view from the other's."""
    first, second = F.layer_norm(features, features.shape[-1:]).chunk(2)
    return F.smooth_l1_loss(first, second)
