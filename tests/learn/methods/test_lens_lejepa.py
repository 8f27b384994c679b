"""LeJEPA with the symmetries of a lens."""

from typing import Any

import pytest
import torch

from learn.data import Batch
from learn.methods.lens_lejepa import arc_weights, ring_means, turn_tokens_back
from simulate.augment.transforms import turn_images
from tests.learn.methods.conftest import images


def test_tokens_return_to_the_places_they_came_from() -> None:
    image, symmetry = torch.rand(8, 1, 32, 32), torch.arange(8)

    def patches(image: torch.Tensor) -> torch.Tensor:
        return image.unfold(2, 8, 8).unfold(3, 8, 8).mean((-1, -2)).flatten(2).mT

    back = turn_tokens_back(patches(turn_images(image, symmetry)), symmetry)
    torch.testing.assert_close(back, patches(image), rtol=0, atol=1e-6)


def test_an_arc_weighs_more_than_the_sky_and_as_much_after_a_turn() -> None:
    axis = torch.arange(64) - 31.5
    radius = torch.hypot(axis[:, None], axis)
    image = torch.exp(-0.5 * ((radius - 20) / 2) ** 2)[None, None]
    weights = arc_weights(image, 8, 0.75)
    assert weights.mean().item() == pytest.approx(1, rel=1e-5)
    assert weights.min().item() == pytest.approx(0.25, abs=0.02), "the sky has neither slope"
    on_ring = weights.view(8, 8)[3, 1]  # 20 pixels from the centre
    assert on_ring > 2
    turned = arc_weights(turn_images(image, torch.tensor([5])), 8, 0.75)
    torch.testing.assert_close(turned.sort().values, weights.sort().values)
    torch.testing.assert_close(arc_weights(image, 8, 0.0), torch.ones(1, 64))


def test_a_ring_is_the_weighted_mean_of_its_patches_and_the_same_after_a_turn() -> None:
    tokens, weights = torch.rand(8, 16, 3), torch.rand(8, 16)
    rings = ring_means(tokens, weights, 2)
    middle = torch.tensor([5, 6, 9, 10])  # of 4 x 4 patches, nearer than half of the way
    expected = (weights[:, middle, None] * tokens[:, middle]).sum(1)
    torch.testing.assert_close(rings[:, 0], expected / weights[:, middle].sum(1)[:, None])
    symmetry = torch.arange(8)
    turned = [turn_tokens_back(part, symmetry) for part in (tokens, weights[..., None])]
    torch.testing.assert_close(ring_means(turned[0], turned[1][..., 0], 2), rings)


def test_views_are_turned_by_the_loss_alone(build: Any) -> None:
    module = build("lens-lejepa", "jitter={shift: 0, blur: 0, noise: 0}")
    image = torch.rand(6, 1, 64, 64)
    torch.testing.assert_close(
        module.view(Batch(image, torch.zeros(6), None)), module.stretch(image)
    )
    seen: list[torch.Tensor] = []
    module.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module.loss(image, image)
    assert not torch.equal(seen[0], torch.cat([image, image]))


def test_an_encoder_that_knows_no_direction_has_tokens_that_turn_with_the_image(
    build: Any,
) -> None:
    # Without positions, and with patches of one brightness, tokens depend on no direction.
    module = build("lens-lejepa")
    module.encoder.vit.pos_embed.data.zero_()
    image = torch.rand(8, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    found = module.loss(image, image)
    for name in ("symmetry", "ring"):
        assert found[name].item() == pytest.approx(0, abs=1e-8)
    found = build("lens-lejepa").loss(image, image)
    assert min(found["symmetry"], found["ring"]) > 1e-5


def test_weights_of_zero_leave_lejepa(build: Any) -> None:
    sets = ("params.symmetry_weight=0", "params.ring_weight=0", "augment=false")
    module, plain = build("lens-lejepa", *sets), build("lejepa", "params.sigreg_weight=0.02")
    plain.load_state_dict(module.state_dict())
    views, losses = (images(8), images(8)), []
    for method in (module, plain):
        torch.manual_seed(0)
        losses.append(method.agreement(method.encoder.features(torch.cat(views)))["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    whole = module.loss(*views)
    rest = 0.98 * whole["invariance"] + 0.02 * whole["sigreg"]
    assert whole["loss"].item() == pytest.approx(rest.item(), rel=1e-5)


@pytest.mark.parametrize("size", [64, 60])
def test_images_that_do_not_fill_their_patches_have_weights_too(size: int) -> None:
    assert arc_weights(torch.rand(2, 1, size, size), 8, 0.75).shape == (2, 64)
