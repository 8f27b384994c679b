"""The optimiser and its schedule."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from learn.config import OptimizerConfig
from learn.methods.mae import MAE
from learn.pretrain import pretrain
from learn.training.optimizer import adamw_with_cosine


def test_gradients_are_clipped_in_every_precision(
    model2: Path, tmp_path: Path, pretrain_config: Any, monkeypatch: Any
) -> None:
    norms = []

    def seen(self: AdamW, *arguments: Any, **named: Any) -> Any:
        # Lightning works out the gradients in the step, so that these are of the last one.
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        gradients = [gradient for gradient in gradients if gradient is not None]
        if gradients:
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(self, *arguments, **named)

    step, loss = AdamW.step, MAE.loss
    monkeypatch.setattr(AdamW, "step", seen)
    monkeypatch.setattr(
        MAE, "loss", lambda self, *views: {"loss": 1e4 * loss(self, *views)["loss"]}
    )
    for precision in ("32", "bf16"):
        sets = ("optimizer.epochs=1", f"precision={precision}")
        pretrain(pretrain_config("mae", sets, data=model2, out=tmp_path / precision))
    assert norms == pytest.approx(4 * [1.0], rel=1e-3)


def parameters() -> torch.nn.Module:
    module = torch.nn.Linear(3, 2)
    module.frozen = torch.nn.Parameter(torch.ones(4, 4), requires_grad=False)
    return module


def settings(**changes: Any) -> OptimizerConfig:
    values = {"epochs": 10, "batch_size": 512, "accumulate": 1, "base_lr": 1e-3}
    return OptimizerConfig(**values | {"weight_decay": 0.1, "warmup_epochs": 2} | changes)


def rates(config: OptimizerConfig, steps: int) -> list[float]:
    (optimizer,), (schedule,) = adamw_with_cosine(parameters(), config, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    return found


def test_the_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    found = rates(settings(), 100)
    assert found[:20] == pytest.approx([1e-3 * (step + 1) / 20 for step in range(20)])
    assert found[20:] == pytest.approx(
        [0.5e-3 * (1 + math.cos(math.pi * step / 80)) for step in range(80)]
    )


def test_the_peak_rate_goes_with_the_root_of_the_batch() -> None:
    assert settings(batch_size=2048).lr == pytest.approx(2 * settings().lr)


def test_vectors_do_not_decay_and_frozen_parameters_are_left_out() -> None:
    module = parameters()
    (optimizer,), _ = adamw_with_cosine(module, settings(), 10)
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert decay == {id(module.weight): 0.1, id(module.bias): 0.0}


def test_a_part_may_have_a_rate_of_its_own() -> None:
    module = torch.nn.ModuleDict({"encoder": torch.nn.Linear(3, 2), "encoders": parameters()})
    (optimizer,), _ = adamw_with_cosine(module, settings(warmup_epochs=0), 10, {"encoder": 0.1})
    found = {
        id(p): (group["lr"] / settings().lr, group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    inner, outer = module["encoder"], module["encoders"]
    assert found[id(inner.weight)] == pytest.approx((0.1, 0.1))
    assert found[id(inner.bias)] == pytest.approx((0.1, 0.0))
    assert found[id(outer.weight)] == pytest.approx((1.0, 0.1))
    assert len(found) == 4
