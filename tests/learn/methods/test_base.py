"""Every method."""

import dataclasses
from typing import Any

import pytest
import torch

from learn.config import PretrainConfig
from learn.data import Batch, Stretch
from learn.methods import METHODS, method_class
from learn.methods.base import Method
from learn.methods.mae import MAE
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from tests.learn.conftest import LENS_FIT
from tests.learn.methods.conftest import count_channels, images


def batch_of(module: Method, count: int, random_fits: Any) -> Batch:
    """Images, with lens fits and masses drawn beside them where the method sees any."""
    stack, fits = images(count, count_channels(module)), None
    if stack.shape[1] > 1:
        fits = dataclasses.replace(
            random_fits(count),
            channels=stack[:, 1:],
            draws=torch.randn(count, 3, 64, 64) / 64,
            moments=torch.rand(count, 3, 5),
        )
    return Batch(stack[:, :1], torch.zeros(count), None, fits=fits)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_on_one_batch(method: str, build: Any) -> None:
    module = build(method)
    batch = images(16, count_channels(module))
    views = [batch + 0.1 * torch.randn_like(batch) for _ in range(module.views)]
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 2e-3)
    losses = []
    for _ in range(60):
        found = module.loss(*views)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        # A cross-entropy with soft classes cannot fall below the entropy of its targets.
        losses.append((found["loss"] - found.get("teacher_entropy", 0)).item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_parameter_gets_a_gradient(method: str, build: Any, random_fits: Any) -> None:
    module = build(method)
    module.losses(batch_of(module, 8, random_fits))["loss"].backward()
    without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("method", METHODS)
def test_a_view_has_the_shape_of_its_image_and_the_channels_of_its_fit(
    method: str, build: Any, random_fits: Any
) -> None:
    module = build(method)
    channels = count_channels(module)
    assert module.view(batch_of(module, 4, random_fits)).shape == (4, channels, 64, 64)
    seen = 1 if channels == 1 else 6  # image, residual, and S/N and error of two kinds of mass
    assert module.exported.vit.patch_embed.proj.in_channels == seen


def test_all_methods_are_shown_as_many_views_of_the_same_kinds() -> None:
    shown, scenes = {}, set()
    for method in METHODS:
        config = load_config(PretrainConfig, shipped_config("pretrain", method, "method"))
        module = method_class(method)(config, Stretch("linear"), total_steps=1)
        shown[method] = config.optimizer.epochs * module.views_per_image
        values = config.model_dump(exclude={"method", "params", "jitter", "optimizer"})
        fit = values["encoder"].pop("lens_fit")
        scenes.add(str(values | {"shift": fit or config.jitter.shift}))
    # Injected masses are others in each view; more views of images alone gain nothing.
    assert shown == dict.fromkeys(METHODS, 50.0) | {"physics-ijepa": 75.0}
    assert len(scenes) == 2, "same encoder, data, seed and symmetries; one sees lens fits"


@pytest.mark.parametrize("method", ["simclr", "moco", "dino", "ibot"])
def test_a_network_that_sees_no_difference_has_the_stated_loss(method: str, build: Any) -> None:
    module = build(method).eval()  # batch norm would blow up rounding errors
    for part in (module.encoder, getattr(module, "teacher", module.encoder)):
        torch.nn.init.zeros_(part.vit.norm.weight)
    losses = module.loss(*(images(8) for _ in range(module.views)))
    for name, level in module.blind_losses(8).items():
        assert losses[name].item() == pytest.approx(level, rel=0.01)


@pytest.mark.parametrize(
    ("method", "item", "message"),
    [
        ("mae", "params.decoder_heads=5", "decoder_dim must be a multiple"),
        ("ijepa", "params.predictor_heads=5", "predictor_dim must be a multiple"),
        ("ijepa", "params.target_aspect=[0,1.5]", "two numbers above 0"),
        ("ibot", "params.mask_scale=[0.3,0.1]", "the lower one first"),
        ("dino", "params.teacher_temperature=0.02", "not be below teacher_temperature_start"),
        ("physics-ijepa", "params.perturber_snr=[0,100]", "two numbers above 0"),
    ],
)
def test_parameters_that_cannot_work_are_refused(
    method: str, item: str, message: str, build: Any
) -> None:
    with pytest.raises(InputError, match=message):
        build(method, item)


def test_unknown_methods_and_parameters_are_refused(build: Any) -> None:
    with pytest.raises(InputError, match="did you mean 'ijepa'"):
        method_class("jepa")
    with pytest.raises(InputError, match="did you mean 'mask_ratio'"):
        build("mae", "params.mask_ration=0.5")


def test_a_method_of_images_alone_refuses_lens_fits(pretrain_config: Any) -> None:
    fit = LENS_FIT.removeprefix("scratch_")
    config = pretrain_config("mae", (fit, "jitter.shift=0"))
    with pytest.raises(InputError, match=r"mae sees images alone; set encoder\.lens_fit=null"):
        MAE.check(config, MAE.Params(**config.params))
