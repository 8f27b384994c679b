"""Files of an encoder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from learn.config import EncoderConfig
from learn.lens_fits.channels import STACK
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import (
    build_encoder,
    count_parameters,
    describe_encoder,
    load_encoder,
    save_encoder,
)
from learn.networks.rcan import Rcan, RcanConfig
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from lensphys.ground.errors import InputError
from tests.learn.conftest import WHOLE_FIT

CONFIG = EncoderConfig(image_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=3)


def test_an_encoder_survives_saving(tmp_path: Path) -> None:
    encoder = Encoder(CONFIG).eval()
    save_encoder(encoder, tmp_path, {"method": "test"})
    image = torch.rand(2, 1, 64, 64)
    assert torch.equal(load_encoder(tmp_path).eval()(image), encoder(image))


def test_weights_may_be_read_by_whom_the_description_may(tmp_path: Path) -> None:
    save_encoder(Encoder(CONFIG), tmp_path, {})
    weights, description = (tmp_path / f"encoder.{end}" for end in ("safetensors", "json"))
    assert weights.stat().st_mode == description.stat().st_mode


def test_folders_without_an_encoder_are_refused_in_one_line(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("change", ["earlier", "version", "channels"])
def test_an_encoder_of_lens_fits_of_another_recipe_is_refused(
    tmp_path: Path, pretrain_config: Any, change: str
) -> None:
    """Its weights would see other maps than it was trained on."""
    encoder = Encoder(CONFIG.model_copy(update={"lens_fit": WHOLE_FIT})).eval()
    attrs = {"model": 2, "preset": "physical", "pixel_scale": 0.1}
    save_encoder(encoder, tmp_path, describe_encoder(pretrain_config("mae"), attrs, encoder))
    stack = torch.rand(2, len(STACK), 64, 64)
    assert torch.equal(load_encoder(tmp_path).eval()(stack), encoder(stack))
    path = tmp_path / "encoder.json"
    about = json.loads(path.read_text())
    if change == "earlier":
        del about["lens_fits"]
        about["encoder"]["prior"] = {"steps": 50}
        del about["encoder"]["lens_fit"]
    elif change == "version":
        about["lens_fits"]["version"] -= 1
    else:
        about["lens_fits"]["channels"]["response"] += 1
    path.write_text(json.dumps(about))
    with pytest.raises(InputError, match=r"lens fits of another recipe.*with a new --out"):
        load_encoder(tmp_path)


def test_an_encoder_of_images_alone_needs_no_recipe(tmp_path: Path) -> None:
    save_encoder(Encoder(CONFIG), tmp_path, {"method": "test"})
    assert load_encoder(tmp_path).config == CONFIG


def test_every_backbone_is_built_from_its_description() -> None:
    sizes = RcanConfig(width=8, groups=1, blocks=1, reduction=4)
    timm = TimmConfig(backbone="resnet10t", image_size=64)
    for config, kind in ((CONFIG, Encoder), (sizes, Rcan), (timm, TimmBackbone)):
        built = build_encoder(config.model_dump(), "here")
        assert isinstance(built, kind)
        assert built.config == config
    with pytest.raises(InputError, match=r"here: .*did you mean 'depth'"):
        build_encoder(CONFIG.model_dump() | {"dept": 2}, "here")


def test_parameters_are_counted_where_none_is_trained_too() -> None:
    encoder = Encoder(CONFIG)
    trained = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    assert count_parameters(encoder.requires_grad_(False)) == trained


def test_the_description_tells_method_data_and_stretch(pretrain_config: Any) -> None:
    config = pretrain_config("mae", ("seed=5",))
    attrs = {"model": 2, "preset": "physical", "pixel_scale": 0.1, "unit": "ADU"}
    found = describe_encoder(config, attrs, Encoder(config.encoder))
    assert (found["method"], found["seed"]) == ("mae", 5)
    assert found["data"] == {"model": 2, "preset": "physical", "pixel_scale": 0.1}
    assert found["stretch"] == config.stretch.model_dump()
