"""The residual channel attention network."""

import torch

from learn.networks.rcan import Rcan, RcanConfig


def test_an_rcan_adds_to_its_shallow_maps_and_sees_the_whole_image() -> None:
    config = RcanConfig(width=8, groups=2, blocks=2, reduction=4)
    rcan, image = Rcan(config), torch.randn(1, 1, 40, 40)
    assert rcan(image).shape == (1, 8, 40, 40)
    far = image.clone()
    far[..., 0] += 10.0
    # Beyond the reach of the convolutions, by the attention alone.
    assert not torch.equal(rcan(far)[..., -1], rcan(image)[..., -1])
    last = rcan.body[-1]
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.zeros_(last.bias)
    torch.testing.assert_close(rcan(image), rcan.first(image))


def test_features_are_the_means_of_the_maps_of_images_of_any_size() -> None:
    rcan = Rcan(RcanConfig(width=8, groups=1, blocks=1, reduction=4))
    for size in (16, 33):
        image = torch.randn(2, 1, size, size)
        torch.testing.assert_close(rcan.features(image), rcan(image).mean((2, 3)))
