"""The training loop."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learn.config import FinetuneConfig
from learn.methods import METHODS
from learn.pretrain import pretrain
from learn.run_files import read_curves
from learn.training.loop import Stop, prefers_half_precision, resolve
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError


def test_precision_is_chosen_by_what_is_faster(pretrain_config: Any, monkeypatch: Any) -> None:
    def chosen(width: int, device: str = "cpu") -> bool:
        config = pretrain_config("mae", (f"encoder.embed_dim={width}",))
        return prefers_half_precision(config, device)

    def can(**units: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)

    can(amx_bf16=True)
    assert [chosen(width) for width in (24, 96, 192)] == [False, True, True]
    assert resolve(pretrain_config("mae", ("encoder.embed_dim=96",))).precision == "bf16-mixed"
    task = load_config(FinetuneConfig, shipped_config("finetune", "classify", "task"))
    assert not prefers_half_precision(task, "cpu"), "a task keeps its digits"
    can(amx_bf16=False, avx2=True)
    assert not chosen(192)
    assert chosen(24, "cuda")
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not chosen(192), "torch does not tell"


@pytest.mark.parametrize(
    ("method", "precision"), [*((method, "32") for method in METHODS), ("mae", "bf16")]
)
def test_an_interrupted_run_resumes_to_the_same_weights(
    method: str,
    precision: str,
    model2: Path,
    tmp_path: Path,
    pretrain_config: Any,
    monkeypatch: Any,
) -> None:
    schedule = ("optimizer.epochs=3", "monitor.every=2", "optimizer.accumulate=2")
    sets = (*schedule, f"precision={precision}")
    whole, _ = pretrain(pretrain_config(method, sets, data=model2, out=tmp_path / "whole"))

    from learn.training import loop

    class StopError(Exception):
        pass

    class Stop(loop.Curves):
        epoch, batch = 1, 0

        def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
            if (trainer.current_epoch, arguments[2]) == (self.epoch, self.batch):
                raise StopError

    config = pretrain_config(method, sets, data=model2, out=tmp_path / "broken")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "Curves", Stop)
        with pytest.raises(StopError):
            pretrain(config)  # between two epochs
        patched.setattr(Stop, "epoch", 2)
        patched.setattr(Stop, "batch", 1)
        with pytest.raises(StopError):
            pretrain(config)  # in the middle of one
    assert not (tmp_path / "broken/encoder.json").exists()
    broken, made = pretrain(config)
    assert made
    one, other = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_curves(whole / "metrics.csv") == read_curves(broken / "metrics.csv")


@pytest.mark.parametrize(("waited", "stops"), [(2, False), (3, True)])
def test_a_run_that_had_stopped_early_stays_stopped_when_it_is_resumed(
    waited: int, stops: bool
) -> None:
    before, after = Stop("val_loss", patience=3), Stop("val_loss", patience=3)
    before.wait_count = waited
    after.load_state_dict(before.state_dict())
    trainer: Any = SimpleNamespace(should_stop=False)
    after.on_train_start(trainer, torch.nn.Module())  # type: ignore[arg-type]
    assert trainer.should_stop == stops


def test_a_training_that_diverges_leaves_no_encoder(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    config = pretrain_config("mae", ("optimizer.base_lr=1e9",), data=model2, out=tmp_path / "run")
    with pytest.raises(InputError, match="has diverged in epoch 1: its loss is nan"):
        pretrain(config)
    assert not (tmp_path / "run/encoder.json").exists()
    assert not (tmp_path / "run/checkpoints/last.ckpt").exists()
