from typing import Any

import pytest
import torch

from learn.config import StretchConfig
from learn.data import Stretch
from learn.methods import METHODS, method_class
from learn.methods.base import Method
from simulate.errors import InputError


def build(method: str, config: Any) -> Method:
    stretch = Stretch.fit(torch.rand(8, 1, 64, 64), StretchConfig(kind="linear", floor=1e-3))
    return method_class(method)(config, stretch, total_steps=100)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_learns_on_one_batch(method: str, pretrain_config: Any) -> None:
    module = build(method, pretrain_config(method))
    image = torch.randn(16, 1, 64, 64).cumsum(-1).cumsum(-2) / 64
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    losses = []
    for _ in range(60):
        loss = module.loss(image)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_parameter_gets_a_gradient(method: str, pretrain_config: Any) -> None:
    module = build(method, pretrain_config(method))
    module.loss(torch.randn(8, 1, 64, 64))["loss"].backward()
    without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_the_jepa_teacher_follows_and_is_no_alias_of_the_student(pretrain_config: Any) -> None:
    module = build("ijepa", pretrain_config("ijepa", ("params.momentum_start=0.9",)))
    student = dict(module.encoder.named_parameters())
    teacher = dict(module.exported.named_parameters())
    name = "vit.blocks.0.attn.qkv.weight"
    assert student[name].data_ptr() != teacher[name].data_ptr()
    before = teacher[name].clone()
    with torch.no_grad():
        student[name] += 1
    module.on_train_batch_end(None, None, 0)
    torch.testing.assert_close(teacher[name], before + 0.1)
    assert not any(p.requires_grad for p in module.exported.parameters())


def test_jepa_predicts_at_the_places_of_its_targets(pretrain_config: Any) -> None:
    # Targets in the order of blocks and then of images: another order has the same shapes, and
    # would pass unnoticed.
    module = build("ijepa", pretrain_config("ijepa"))
    from lightly.models.utils import apply_masks

    context = torch.arange(4).expand(3, -1)
    targets = [torch.tensor([[5, 6]] * 3), torch.tensor([[9, 10]] * 3)]
    captured = []
    module.predictor.decoder.blocks.register_forward_pre_hook(
        lambda _, inputs: captured.append(inputs[0])
    )
    module.predictor(torch.zeros(3, 4, 24), context, targets)
    position = module.predictor.decoder.pos_embed.expand(3, -1, -1)
    expected = apply_masks(position, targets) + module.predictor.decoder.mask_token
    torch.testing.assert_close(captured[0][:, 4:], expected)


def test_unknown_methods_and_parameters_are_refused(pretrain_config: Any) -> None:
    with pytest.raises(InputError, match="did you mean 'ijepa'"):
        method_class("jepa")
    with pytest.raises(InputError, match="did you mean 'mask_ratio'"):
        build("mae", pretrain_config("mae", ("params.mask_ration=0.5",)))
