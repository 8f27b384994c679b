"""The encoder, and how it prepares images."""

from typing import Any

import pytest
import torch
from timm.layers import PatchEmbed

from learn.config import EncoderConfig, LensFitConfig
from learn.lens_fits.channels import STACK
from learn.networks.encoder import Encoder, asinh, count_channels
from tests.learn.conftest import WHOLE_FIT

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


TINY = {"image_size": 64, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 3}


def stack(count: int = 4, side: int = 64) -> torch.Tensor:
    return torch.randn(count, len(STACK), side, side)


def encoder(**fit: Any) -> Encoder:
    """An encoder of every channel, or with switches."""
    given = WHOLE_FIT.model_dump() | {"detection": True} | fit
    return Encoder(EncoderConfig(**TINY, lens_fit=LensFitConfig(**given))).eval()


@pytest.mark.parametrize(
    ("part", "switch"),
    [
        ("residual", {"residual": "none", "detection": False}),
        ("response", {"response": False}),
        ("source_plane", {"source_plane": False}),
        ("snr", {"detection": False}),
        ("log_error", {"detection": False}),
    ],
)
def test_an_encoder_sees_the_given_channels_and_nothing_else(
    part: str, switch: dict[str, Any]
) -> None:
    images = stack()
    changed = images.clone()
    changed[:, STACK[part]] += 1.0
    whole, blind = encoder(), encoder(**switch)
    assert not torch.allclose(whole(images), whole(changed))
    assert torch.equal(blind(images), blind(changed))


def test_the_noise_of_a_fit_is_no_input() -> None:
    images = stack()
    changed = images.clone()
    changed[:, STACK["sigma"]] += 1.0
    model = encoder()
    assert torch.equal(model(images), model(changed))


def test_snr_and_error_of_one_more_mass_are_drawn_to_scale() -> None:
    """Logarithms of errors, as they come, have about zero mean and unit scatter."""
    images = stack()
    seen = encoder(response=False, source_plane=False).prepare(images).patches
    assert seen.shape == (4, 6, 64, 64)
    torch.testing.assert_close(seen[:, 2:4], torch.asinh(images[:, STACK["snr"]]))
    images[:, STACK["log_error"]] = torch.tensor([-1.4, -0.9])[:, None, None]
    shown = encoder().prepare(images).patches[:, -2:]
    expected = torch.tensor([0.0, 1.0])[:, None, None].expand(4, 2, 64, 64)
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-6)


def test_an_encoder_and_its_teacher_share_prepared_images() -> None:
    student, teacher, images = encoder(), encoder(), stack()
    prepared, keep = student.prepare(images), torch.tensor([[0, 5, 9]] * 4)
    assert torch.equal(student(prepared, keep), student(images, keep))
    assert torch.equal(teacher(prepared), teacher(images))
    assert torch.equal(teacher.features(prepared.first(2)), teacher.features(images[:2]))


@pytest.mark.parametrize("gradient", [False, True])
def test_the_inverse_hyperbolic_sine_is_exact(gradient: bool) -> None:
    x = torch.logspace(-30, 4.8, 3000).repeat(2)
    x[3000:] *= -1
    x = torch.cat([x, torch.zeros(1)]).requires_grad_(gradient)
    expected = torch.asinh(x.detach().double())
    torch.testing.assert_close(asinh(x).detach().double(), expected, rtol=3e-7, atol=0)


def test_an_encoder_that_sees_fits_takes_images_of_another_size() -> None:
    assert encoder()(stack(2, 150)).shape == (2, 100, 24)


def test_patches_of_one_place_in_the_source_plane_look_alike() -> None:
    model, images = encoder(), torch.zeros(1, len(STACK), 64, 64)
    place = images[:, STACK["source_plane"]]
    place[:] = 3.0
    place[..., :16, :16] = place[..., 48:, 48:] = 0.5
    with torch.no_grad():
        places = model.source_plane(model.source_waves(images))[0]
    torch.testing.assert_close(places[0], places[15])
    assert not torch.allclose(places[0], places[1])


def test_patches_are_cut_from_the_channels_that_an_encoder_sees() -> None:
    for switches, channels in (
        ({}, 8),
        ({"residual": "none", "detection": False}, 3),
        ({"response": False}, 6),
        ({"response": False, "detection": False}, 2),
    ):
        model = encoder(**switches)
        assert count_channels(model.config) == channels
        assert model.prepare(stack()).patches.shape[1] == channels
    assert count_channels(CONFIG) == 1
