"""The masked autoencoder."""

from typing import Any

import pytest
import torch

from learn.data import Batch
from tests.learn.methods.conftest import images


def test_the_encoder_sees_the_patches_that_are_kept_and_no_others(build: Any) -> None:
    module = build("mae", "params.mask_ratio=0.75")
    seen = []
    module.encoder.vit.blocks.register_forward_pre_hook(lambda _, x: seen.append(x[0].shape))
    module.loss(images(6))
    assert seen == [(6, 4, 24)], "a quarter of 4 x 4 patches"


@pytest.mark.parametrize("normalised", [True, False])
def test_a_flat_prediction_has_the_variance_of_the_patches_as_its_loss(
    normalised: bool, build: Any
) -> None:
    module = build("mae", f"params.normalize_patches={str(normalised).lower()}")
    torch.nn.init.zeros_(module.predict.weight)
    torch.nn.init.zeros_(module.predict.bias)
    image = images(8)
    loss = module.loss(image)["loss"].item()
    if normalised:
        assert loss == pytest.approx(1.0, rel=0.01)
    else:
        assert module.loss(2 * image)["loss"].item() > 2 * loss


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("shift", [(0, 0), (1, -1), (-1, 1)])
def test_padding_is_nothing_to_reconstruct(
    normalised: bool, shift: tuple[int, int], build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in the padding, the loss is that of the pixels that show the sky."""
    most = max(map(abs, shift))
    sets = (f"params.normalize_patches={str(normalised).lower()}", f"jitter.shift={most}")
    module = build("mae", "jitter.noise=0", "jitter.blur=0", *sets)

    def move(image: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return image.roll(shift, (-2, -1))

    monkeypatch.setattr("learn.views.jitter.shift_and_blur", move)
    torch.nn.init.zeros_(module.predict.weight)
    torch.nn.init.zeros_(module.predict.bias)
    image = images(8)
    padding = torch.tensor([[4, 0, 1, 2]]).repeat(len(image), 1)
    label = torch.zeros(len(image), dtype=torch.int64)
    losses = []
    for value in (0.0, 50.0):
        stray = image.clone()
        stray[..., :4], stray[:, :, :1], stray[:, :, -2:] = value, value, value
        torch.manual_seed(3)
        batch = Batch(stray, label, None, None, None, padding)
        losses.append(module.losses(batch)["loss"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    if not normalised:
        torch.manual_seed(3)
        assert module.losses(Batch(stray, label, None))["loss"].item() > 2 * losses[1]


@pytest.mark.parametrize("normalised", [True, False])
def test_images_without_padding_have_the_same_loss_beside_others_with_it(
    normalised: bool, build: Any
) -> None:
    module = build("mae", f"params.normalize_patches={str(normalised).lower()}")
    image = images(8)
    losses = []
    for weight in (None, torch.ones_like(image)):
        torch.manual_seed(3)
        losses.append(module._reconstruct(image, weight).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
