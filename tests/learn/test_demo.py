"""The demonstration: what its configuration must name."""

from pathlib import Path
from typing import Any

import pytest

from learn.demo import DemoConfig, demo
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
        ({"simulate": [{"model": "2"}]}, "model of a step of simulate must be a whole number"),
        ({"simulate": [{"model": True}]}, "model of a step of simulate must be a whole number"),
        ({"simulate": [{"model": 2, "preset": 3}]}, "preset of a step of simulate must be a name"),
        ({"simulate": [{"model": 2, "out": "x"}]}, "out of a step of simulate is filled by"),
        ({"simulate": [{"model": 2}, {"model": 2}]}, "would share a folder"),
        ({"simulate": [{"model": 3}]}, "pretrain needs the data set 'model2', and .* makes model3"),
        ({"pretrain": {"method": 5}}, "method of a step of pretrain must be a name, not 5"),
        ({"pretrain": {"method": ["mae"]}}, "method of a step of pretrain must be a name"),
        ({"pretrain": {"method": "mae", "data": "x"}}, "data of a step of pretrain is filled by"),
        ({"finetune": {"classify": {"data": "../x"}}}, "needs the data set '../x'"),
        ({"finetune": {"classify": {"data": 2}}}, "data of a step of finetune.classify must be a"),
    ],
)
def test_a_step_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    whole = {"simulate": [{"model": 2}], "pretrain": {"method": "mae"}, "finetune": {}}
    with pytest.raises(InputError, match=message):
        validate(DemoConfig, whole | changes, "demo")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulate": [{"model": 2, "path": "x"}]}, "unknown key 'path'"),
        ({"simulate": [{"model": 2, "sets": 5}]}, "unknown key 'sets'"),
        ({"simulate": [{"model": 2, "n": "many"}]}, "n: Input should be a valid integer"),
        ({"simulate": [{"model": 2, "lens": 5}]}, "lens: Input should be a valid dictionary"),
        ({"pretrain": {"method": "mea"}}, "unknown method 'mea'"),
        ({"pretrain": {"method": "mae", "optimizer": [1]}}, "optimizer: Input should be"),
        ({"pretrain": {"method": "mae", "params.mask": 1}}, "unknown key"),
        ({"finetune": {"clasify": {"data": "model2"}}}, "unknown task 'clasify'"),
    ],
)
def test_a_step_is_checked_before_the_first_begins(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    whole = {"simulate": [{"model": 2}], "pretrain": {"method": "mae"}, "finetune": {}}
    config = validate(DemoConfig, whole | changes, "demo")
    with pytest.raises(InputError, match=message):
        demo(config, tmp_path / "demo", lambda total, done: lambda count: None)
    assert list(tmp_path.iterdir()) == []
