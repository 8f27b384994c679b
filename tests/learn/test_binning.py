"""Images larger than an encoder was made for are seen on coarser pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from learn.config import EncoderConfig
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import write_onnx
from learn.inference.model import load_model
from learn.lens_fits.channels import binned, network_input
from learn.networks.encoder import Encoder
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from learn.tasks.base import binning
from learn.tasks.classify import Classify
from learn.views.symmetries import turned_prior
from lensphys.ground.errors import InputError
from simulate.augment.transforms import turned

ENCODER = EncoderConfig(image_size=64, patch_size=16, embed_dim=24, depth=2, num_heads=3)


def some_channels(count: int, size: int) -> torch.Tensor:
    """Channels (B, 6, H, W) like those of a lens prior, with another noise in each pixel."""
    channels = torch.randn(count, 6, size, size)
    channels[:, 5] = 0.5 + torch.rand(count, size, size)
    return channels


def test_channels_of_coarse_pixels_follow_from_their_meaning() -> None:
    image, channels = torch.rand(2, 1, 12, 12), some_channels(2, 12)
    coarse = binned(network_input(image, channels), 3)
    assert coarse.shape == (2, 7, 4, 4)
    i, j, block = 1, 2, (..., slice(3, 6), slice(6, 9))
    sigma = channels[block][:, 5]
    noise = sigma.square().sum((1, 2)).sqrt()
    torch.testing.assert_close(coarse[:, 0, i, j], image[block].sum((1, 2, 3)))
    for channel in (0, 1, 2):
        in_flux = (channels[block][:, channel] * sigma).sum((1, 2))
        torch.testing.assert_close(coarse[:, 1 + channel, i, j], in_flux / noise)
    for channel in (3, 4):
        torch.testing.assert_close(
            coarse[:, 1 + channel, i, j], channels[block][:, channel].mean((1, 2))
        )
    torch.testing.assert_close(coarse[:, 6, i, j], noise)


def test_noise_stays_noise_of_unit_variance() -> None:
    channels = some_channels(50, 64)
    residual = binned(network_input(torch.zeros(50, 1, 64, 64), channels), 2)[:, 1]
    assert residual.std() == pytest.approx(1.0, abs=0.01)


def test_flux_is_kept_without_channels_too() -> None:
    image = torch.rand(3, 1, 10, 10, dtype=torch.float64)
    torch.testing.assert_close(binned(image, 5).sum((2, 3)), image.sum((2, 3)))
    assert binned(image, 1) is image


def test_images_are_turned_before_they_are_binned_or_after() -> None:
    image, channels, symmetry = torch.rand(8, 1, 12, 12), some_channels(8, 12), torch.arange(8)
    before = binned(network_input(turned(image, symmetry), turned_prior(channels, symmetry)), 2)
    coarse = binned(network_input(image, channels), 2)
    after = [turned(coarse[:, :1], symmetry), turned_prior(coarse[:, 1:], symmetry)]
    torch.testing.assert_close(before, torch.cat(after, 1))


def test_what_makes_no_whole_pixel_is_left_out() -> None:
    image = torch.rand(1, 1, 13, 13)
    torch.testing.assert_close(binned(image, 2), binned(image[..., :12, :12], 2))


@pytest.mark.parametrize(("size", "factor"), [(32, 1), (64, 1), (75, 1), (128, 2), (150, 2)])
def test_left_to_itself_an_image_comes_near_the_size_of_the_encoder(size: int, factor: int) -> None:
    params = Classify.Params(binning=None, label_smoothing=0.0)
    encoder = Encoder(ENCODER)
    assert binning(params, encoder, size) == factor
    resnet = TimmBackbone(TimmConfig(backbone="resnet10t", image_size=size))
    assert binning(params, resnet, size) == 1, "it is made for the images"


def test_a_run_of_an_earlier_version_sees_the_pixels_as_they_are() -> None:
    params = Classify.Params(label_smoothing=0.0)
    assert binning(params, Encoder(ENCODER), 150) == 1


def test_too_coarse_pixels_are_refused() -> None:
    params = Classify.Params(binning=20, label_smoothing=0.0)
    with pytest.raises(InputError, match=r"binning = 20 leaves 7 pixels .* of 150; 18 is the most"):
        binning(params, Encoder(ENCODER), 150)


@pytest.mark.parametrize("backbone", ["vit", "resnet10t"])
def test_a_binned_run_is_reproduced_and_exported(
    backbone: str, model2: Path, tmp_path: Path, finetune_config: Any
) -> None:
    pytest.importorskip("onnxruntime")
    import onnxruntime

    sets = ("params.binning=2", "optimizer.epochs=1")
    config = finetune_config("classify", sets, data=model2, out=tmp_path / "run", backbone=backbone)
    run, _ = finetune(config)
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == metrics
    model = load_model(run)
    assert model.size == 64, "of the images, not of what the encoder sees"
    softening = model.task.stretch.softening
    images = 30 * softening * torch.randn(3, 1, 64, 64)
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, model(images).numpy(), atol=1e-5)
    # What is averaged away in a coarse pixel cannot matter.
    checkers = 1.0 - 2.0 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2)
    finer = images + 10 * softening * checkers
    torch.testing.assert_close(model(finer), model(images), rtol=1e-3, atol=1e-4)


def test_super_resolution_sees_every_pixel(
    pairs: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config("superres", ("params.binning=2",), data=pairs, out=tmp_path / "run")
    with pytest.raises(InputError, match="binning"):
        finetune(config)
