"""Pixels that are summed into one before an encoder sees them."""

import pytest

from learn.config import EncoderConfig
from learn.networks.encoder import Encoder
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from learn.tasks.binning import find_binning
from learn.tasks.classify import Classify
from lensphys.ground.errors import InputError

ENCODER = EncoderConfig(image_size=64, patch_size=16, embed_dim=24, depth=2, num_heads=3)


@pytest.mark.parametrize(("size", "factor"), [(32, 1), (64, 1), (75, 1), (128, 2), (150, 2)])
def test_automatic_binning_comes_near_the_size_of_the_encoder(size: int, factor: int) -> None:
    params = Classify.Params(binning=None, label_smoothing=0.0)
    encoder = Encoder(ENCODER)
    assert find_binning(params, encoder, size) == factor
    resnet = TimmBackbone(TimmConfig(backbone="resnet10t", image_size=size))
    assert find_binning(params, resnet, size) == 1, "this backbone is made for the images"


def test_a_run_of_an_earlier_version_sees_the_pixels_as_they_are() -> None:
    params = Classify.Params(label_smoothing=0.0)
    assert find_binning(params, Encoder(ENCODER), 150) == 1


def test_too_coarse_pixels_are_refused() -> None:
    params = Classify.Params(binning=20, label_smoothing=0.0)
    with pytest.raises(InputError, match=r"binning = 20 leaves 7 pixels .* of 150; 18 is the most"):
        find_binning(params, Encoder(ENCODER), 150)
