"""Checks of bad arguments before torch is imported."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learn.checks import (
    check_data,
    check_encoder,
    check_finetuning,
    check_inputs,
    check_params,
    check_preset,
    check_pretraining,
)
from lensphys.ground.errors import InputError


def test_the_checks_need_no_torch() -> None:
    code = "import sys, learn.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_that_can_begin_passes(
    model2: Path, pretrain_config: Any, finetune_config: Any
) -> None:
    check_pretraining(pretrain_config("mae", data=model2))
    check_finetuning(finetune_config("classify", data=model2))
    check_data(model2)
    check_data(None)


def test_pretraining_without_images_names_the_command(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    with pytest.raises(InputError, match="simulate --model 2"):
        check_pretraining(pretrain_config("mae", data=tmp_path / "nothing"))
    with pytest.raises(InputError, match="no class 'axions'"):
        check_pretraining(pretrain_config("mae", data=model2, classes=("axions",)))


def test_finetuning_without_data_or_encoder_is_refused(
    model2: Path, tmp_path: Path, finetune_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="found no data for this task"):
        check_finetuning(finetune_config("classify"))
    with pytest.raises(InputError, match="no pretrained encoder"):
        check_finetuning(finetune_config("classify", data=model2, encoder="latest"))
    with pytest.raises(InputError, match="is not a data set"):
        check_finetuning(finetune_config("classify", data=tmp_path))


@pytest.mark.parametrize(
    ("known", "preset", "refused"),
    [
        ("published", "physical", True),
        ("physical", "realistic", True),
        ("physical", "physical", False),
        ("physical", "imported", False),
        (None, "physical", False),
        (["published"], "physical", False),
    ],
)
def test_another_preset_than_that_of_the_encoder_must_be_allowed(
    known: Any, preset: str, refused: bool, tmp_path: Path, finetune_config: Any
) -> None:
    (tmp_path / "encoder.json").write_text(json.dumps({"data": {"preset": known}}))
    config = finetune_config("classify", encoder=str(tmp_path))
    allowed = finetune_config("classify", ("allow_other_preset=true",), encoder=str(tmp_path))
    check_preset(allowed, Path("data"), preset)
    if refused:
        with pytest.raises(InputError, match="with --set allow_other_preset=true"):
            check_preset(config, Path("data"), preset)
    else:
        check_preset(config, Path("data"), preset)


def test_a_run_is_the_same_whether_it_forbids_other_presets_or_does_not_say(
    finetune_config: Any,
) -> None:
    assert "allow_other_preset" not in finetune_config("classify").model_dump()


def test_finetuning_refuses_another_preset_before_it_begins(
    noisy: Path, encoder_run: Path, finetune_config: Any
) -> None:
    with pytest.raises(InputError, match=r"on the preset 'published', and .* is of 'physical'"):
        check_finetuning(finetune_config("classify", data=noisy, encoder=str(encoder_run)))


def test_a_run_without_an_encoder_is_refused(tmp_path: Path, encoder_run: Path) -> None:
    check_encoder(str(encoder_run))
    with pytest.raises(InputError, match="has no finished encoder; give the folder of a finished"):
        check_encoder(str(tmp_path))


def test_only_a_pretrained_encoder_is_adapted(model2: Path, finetune_config: Any) -> None:
    with pytest.raises(InputError, match="add --encoder RUN, or --mode full"):
        check_finetuning(finetune_config("classify", data=model2, mode="lora"))


def test_unknown_parameters_are_refused_with_the_nearest() -> None:
    check_params({"mask_ratio": 0.5}, "pretrain", "mae", "method")
    with pytest.raises(InputError, match=r"unknown key 'mask_ration'.*did you mean 'mask_ratio'"):
        check_params({"mask_ration": 0.5}, "pretrain", "mae", "method")
    with pytest.raises(InputError, match=r"unknown method 'mea'.*did you mean 'mae'"):
        check_params({}, "pretrain", "mea", "method")


def test_inputs_none_of_which_is_there_are_refused(model2: Path, tmp_path: Path) -> None:
    check_inputs([tmp_path / "none", model2])
    with pytest.raises(InputError, match=r"nothing to predict: .*none: there is no such file"):
        check_inputs([tmp_path / "none"])
