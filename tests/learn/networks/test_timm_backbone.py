"""Backbones of timm."""

import pytest
import torch

from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from lensphys.ground.errors import InputError


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), ("vit_tiny_patch16_224", 64), ("mobilenetv3_small_050", 75)],
)
def test_backbones_of_timm_take_one_channel_and_the_size_of_the_data(name: str, size: int) -> None:
    backbone = TimmBackbone(TimmConfig(backbone=name, image_size=size))
    assert backbone.features(torch.rand(2, 1, size, size)).shape == (2, backbone.width)


def test_backbones_that_cannot_be_are_refused_in_one_line() -> None:
    for backbone, message in (("resnet81", "did you mean 'resnet"), ("coatnet_nano_rw_224", "75")):
        with pytest.raises(InputError, match=message):
            TimmBackbone(TimmConfig(backbone=backbone, image_size=75))
