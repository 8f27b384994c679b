"""SimCLR."""

from typing import Any

from tests.learn.methods.conftest import images


def test_the_loss_is_least_where_both_views_are_of_the_same_image(build: Any) -> None:
    module, image = build("simclr"), images(8)
    own, other = (module.loss(image, view)["loss"] for view in (image, image.roll(1, 0)))
    assert own < other


def test_the_level_of_a_blind_network_grows_with_the_batch(build: Any) -> None:
    module = build("simclr")
    assert module.blind_losses(8)["loss"] < module.blind_losses(16)["loss"]
