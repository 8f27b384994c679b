"""Checks of bad arguments before torch is imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learn.checks import check_data, check_finetuning, check_inputs, check_params, check_pretraining
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
