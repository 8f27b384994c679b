"""Low-rank changes of an encoder."""

from typing import Any

import pytest
import torch
from torch import nn

from learn.config import EncoderConfig, LoraConfig
from learn.networks.encoder import Encoder
from learn.networks.lora import add_low_rank, merge_low_rank
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from lensphys.ground.errors import InputError

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


def small(**changes: Any) -> LoraConfig:
    return LoraConfig(**({"rank": 4, "alpha": 8.0, "layers": LAYERS} | changes))


def encoder() -> Encoder:
    torch.manual_seed(0)
    section = {"image_size": 64, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 3}
    return Encoder(EncoderConfig(**section))


def trained(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_an_adapted_encoder_starts_as_it_was_and_trains_the_thin_matrices_alone() -> None:
    network, image = encoder(), torch.rand(2, 1, 64, 64)
    before, everything = network.features(image), trained(network)
    add_low_rank(network, small())
    torch.testing.assert_close(network.features(image), before, rtol=0, atol=0)
    sizes = [(24, 72), (24, 24), (24, 96), (96, 24)]  # inputs and outputs of the layers of a block
    assert trained(network) == 2 * 4 * sum(map(sum, sizes)) < everything / 2
    network.features(image).sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_the_change_of_a_weight_has_the_rank_and_the_scale_that_were_asked_for() -> None:
    network = encoder()
    layer = network.vit.blocks[1].mlp.fc1
    before = layer.weight.detach().clone()
    add_low_rank(network, small(rank=3, alpha=6.0, layers=("mlp.fc1",)))
    (change,) = layer.parametrizations.weight
    nn.init.normal_(change.up)
    after = layer.weight.detach()
    torch.testing.assert_close(after - before, 2 * change.up @ change.down, rtol=1e-4, atol=1e-5)
    assert torch.linalg.matrix_rank(after - before, rtol=1e-4) == 3
    assert not hasattr(network.vit.blocks[1].attn.qkv, "parametrizations")


def test_a_merged_encoder_gives_the_same_numbers_from_weights_of_the_usual_names() -> None:
    network, image = encoder(), torch.rand(2, 1, 64, 64)
    names = {name: value.shape for name, value in network.state_dict().items()}
    add_low_rank(network, small())
    for name, parameter in network.named_parameters():
        if name.endswith(".up"):
            nn.init.normal_(parameter, std=0.1)
    adapted = network.features(image)
    assert (adapted - encoder().features(image)).abs().max() > 1e-3
    merge_low_rank(network)
    torch.testing.assert_close(network.features(image), adapted, rtol=0, atol=0)
    assert {name: value.shape for name, value in network.state_dict().items()} == names
    fresh = encoder()
    fresh.load_state_dict(network.state_dict())
    torch.testing.assert_close(fresh.features(image), adapted, rtol=0, atol=0)


def test_layers_that_there_are_not_are_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match=r"called attn\.q;.*attn\.proj, attn\.qkv, mlp\.fc1"):
        add_low_rank(encoder(), small(layers=("attn.q",)))
    with pytest.raises(InputError, match="may hold: none"):
        add_low_rank(TimmBackbone(TimmConfig(backbone="resnet10t", image_size=64)), small())


def test_a_rank_that_is_no_low_one_is_refused() -> None:
    with pytest.raises(InputError, match=r"lora\.rank = 24 is no low rank: vit\.blocks\.0"):
        add_low_rank(encoder(), small(rank=24))
