"""The demonstration: what its configuration must name."""

from typing import Any

import pytest

from learn.demo import DemoConfig
from learn.tasks import TASKS
from lensphys.ground.config import load_config, shipped_config, validate
from lensphys.ground.errors import InputError


def test_the_shipped_demonstration_names_all_steps() -> None:
    config = load_config(DemoConfig, shipped_config("demo", "demo", "command"))
    models = {f"model{step['model']}" for step in config.simulate}
    assert set(config.finetune) <= set(TASKS)
    assert {step["data"] for step in config.finetune.values()} <= models


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulate": [{"n": 5}]}, "a step of simulate lacks the key 'model'"),
        ({"pretrain": {}}, "a step of pretrain lacks the key 'method'"),
        ({"finetune": {"classify": {}}}, "a step of finetune.classify lacks the key 'data'"),
    ],
)
def test_a_step_without_its_key_is_refused(changes: dict[str, Any], message: str) -> None:
    whole = {"simulate": [{"model": 2}], "pretrain": {"method": "mae"}, "finetune": {}}
    with pytest.raises(InputError, match=message):
        validate(DemoConfig, whole | changes, "demo")
