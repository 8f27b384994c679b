"""Trainings that cannot be are refused before torch is imported."""

import subprocess
import sys
from typing import Any

import pytest

from learn.config import FinetuneConfig, PretrainConfig
from learn.training.limits import check_limits
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError


def load(command: str, name: str, sets: list[str]) -> Any:
    schema = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}[command]
    return load_config(schema, shipped_config(command, name, "name"), sets)


@pytest.mark.parametrize("name", ["mae", "simclr", "moco", "dino", "ibot", "ijepa"])
def test_shipped_configurations_are_within_the_limits(name: str) -> None:
    check_limits(load("pretrain", name, []))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.base_lr=1.0e+300", r"optimizer.base_lr = 1e\+300 is too large"),
        ("optimizer.epochs=1000000000000", r"optimizer.epochs = 1e\+12 is too large"),
        (f"optimizer.batch_size={2**70}", "optimizer.batch_size = 1.18059e"),
        (f"optimizer.batch_size={10**400}", "batch_size = 1e300 or more is too large"),
        ("params.decoder_depth=1001", "params.decoder_depth = 1001 is too large; the most is 1,"),
        ("jitter.blur=1.0e+20", "jitter.blur"),
        ("devices=100000", "devices = 100,000 is too many"),
        ("nodes=100000", "nodes = 100,000 is too many"),
        ("encoder.embed_dim=12000000", "parameters of the encoder"),
    ],
)
def test_settings_that_no_machine_can_work_with_are_refused(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_limits(load("pretrain", "mae", ["optimizer.epochs=100", setting]))


def test_only_an_encoder_that_is_built_has_to_fit() -> None:
    large = "scratch_encoder.image_size=16000000"
    with pytest.raises(InputError, match=r"scratch_encoder\.image_size"):
        check_limits(load("finetune", "classify", ["encoder=none", large]))
    check_limits(load("finetune", "classify", ["encoder=latest", large]))
    check_limits(load("finetune", "classify", ["encoder=none", "backbone=resnet18", large]))


def test_the_limits_need_no_torch() -> None:
    code = "import sys, learn.training.limits; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
