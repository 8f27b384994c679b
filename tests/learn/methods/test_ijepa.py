"""I-JEPA."""

from typing import Any

import torch

from learn.methods.ijepa import spread_over_images
from learn.views.masking import jepa_masks
from tests.learn.methods.conftest import images


def test_the_guard_asks_for_differences_of_images_and_not_of_masks(build: Any) -> None:
    module = build("ijepa", "encoder.patch_size=8")
    context, _ = jepa_masks(
        32, 8, targets=4, target_scale=(0.15, 0.2), target_aspect=(0.75, 1.5), context_scale=(1, 1)
    )
    seen = [module.encoder(x, context) for x in (images(32), torch.zeros(32, 1, 64, 64))]
    different, blind = (spread_over_images(tokens, context).mean() for tokens in seen)
    assert different > 10 * blind
    pooled = seen[1].mean(1).std(0).mean()
    assert pooled > 3 * blind, "as the contexts alone would make it seem"


def test_the_spread_over_images_of_a_known_case() -> None:
    places = torch.stack([torch.randperm(10)[:6] for _ in range(500)])
    tokens = 100.0 * places.unsqueeze(-1) + 0.5 * torch.randn(500, 6, 4)
    torch.testing.assert_close(
        spread_over_images(tokens, places), torch.full((4,), 0.5), rtol=0.05, atol=0
    )


def test_predictions_are_made_at_the_places_of_the_targets(build: Any) -> None:
    # Targets in the order of blocks and then of images: another order has the same shapes, and
    # would pass unnoticed.
    module = build("ijepa")
    from lightly.models.utils import apply_masks

    context = torch.arange(4).expand(3, -1)
    targets = [torch.tensor([[5, 6]] * 3), torch.tensor([[9, 10]] * 3)]
    captured = []
    module.predictor.decoder.blocks.register_forward_pre_hook(
        lambda _, inputs: captured.append(inputs[0])
    )
    module.predictor(torch.zeros(3, 4, 24), context, targets)
    position = module.predictor.decoder.pos_embed.expand(3, -1, -1)
    expected = apply_masks(position, targets) + module.predictor.decoder.mask_token
    torch.testing.assert_close(captured[0][:, 4:], expected)
