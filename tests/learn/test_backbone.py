from pathlib import Path

import pytest
import torch
from timm.layers import PatchEmbed

from learn.config import EncoderConfig
from learn.networks.encoder import Encoder, load_encoder, save_encoder
from lensphys.ground.errors import InputError

CONFIG = EncoderConfig(image_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=3)


@pytest.mark.parametrize(("size", "tokens"), [(64, 64), (32, 16), (75, 100), (150, 361)])
def test_one_encoder_takes_images_of_every_size(size: int, tokens: int) -> None:
    assert Encoder(CONFIG)(torch.rand(2, 1, size, size)).shape == (2, tokens, 24)


@pytest.mark.parametrize("size", [64, 75])
def test_patches_are_those_of_a_convolution(size: int) -> None:
    tokens = Encoder(CONFIG).vit.patch_embed
    image = torch.randn(3, 1, size, size)
    torch.testing.assert_close(tokens(image), PatchEmbed.forward(tokens, image))


def test_hidden_patches_do_not_matter() -> None:
    encoder = Encoder(CONFIG).eval()
    image, keep = torch.rand(1, 1, 64, 64), torch.tensor([[0, 9, 63]])
    changed = image.clone()
    changed[..., 8:16, :8] += 1  # patch 8
    torch.testing.assert_close(encoder(image, keep), encoder(changed, keep))
    assert not torch.allclose(encoder(image), encoder(changed))


def test_hidden_patches_cost_nothing() -> None:
    encoder, seen = Encoder(CONFIG), []
    encoder.vit.blocks.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    encoder(torch.rand(2, 1, 64, 64), torch.arange(16).expand(2, -1))
    assert seen == [(2, 16, 24)]


def test_an_encoder_survives_saving(tmp_path: Path) -> None:
    encoder = Encoder(CONFIG).eval()
    save_encoder(encoder, tmp_path, {"method": "test"})
    image = torch.rand(2, 1, 64, 64)
    assert torch.equal(load_encoder(tmp_path).eval()(image), encoder(image))


def test_what_is_not_an_encoder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pretrain"):
        load_encoder(tmp_path / "nothing")
    save_encoder(Encoder(CONFIG), tmp_path, {})
    weights = tmp_path / "encoder.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="truncated"):
        load_encoder(tmp_path)
    weights.write_bytes(whole)
    description = tmp_path / "encoder.json"
    description.write_text(description.read_text().replace('"depth": 2', '"depth": 3'))
    with pytest.raises(InputError, match="another architecture"):
        load_encoder(tmp_path)
    description.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        load_encoder(tmp_path)
