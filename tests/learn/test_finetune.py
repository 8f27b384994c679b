"""Fine-tuning runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learn.finetune import finetune
from learn.networks.encoder_files import load_encoder
from lensphys.ground.errors import InputError


def test_linear_mode_leaves_the_encoder_as_it_was(
    model2: Path, encoder_run: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config(
        "classify", data=model2, encoder=str(encoder_run), mode="linear", out=tmp_path / "run"
    )
    folder, _ = finetune(config)
    before, after = (load_file(run / "encoder.safetensors") for run in (encoder_run, folder))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_supervised_baseline_on_any_backbone_of_timm(
    model2: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = ("optimizer.epochs=1",)
    config = finetune_config("classify", sets, data=model2, backbone="resnet10t")
    folder, _ = finetune(config.model_copy(update={"out": tmp_path / "run"}))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {"accuracy", "radial_accuracy"} <= set(metrics)
    backbone = load_encoder(folder).eval()
    assert backbone.features(torch.rand(2, 1, 64, 64)).shape == (2, 512)
    again = finetune_config("classify", sets, data=model2, encoder=str(folder), mode="linear")
    linear, _ = finetune(again.model_copy(update={"out": tmp_path / "linear"}))
    before, after = (load_file(run / "encoder.safetensors") for run in (folder, linear))
    assert all(torch.equal(before[name], after[name]) for name in before), "batch norm included"


def test_backbones_that_cannot_be_are_refused_in_one_line(
    model2: Path, pairs: Path, tmp_path: Path, finetune_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no model 'resnet81'"):
        finetune(finetune_config("classify", data=model2, backbone="resnet81"))
    with pytest.raises(InputError, match="add --encoder none"):
        finetune(finetune_config("classify", data=model2, backbone="resnet18", encoder="x"))
    with pytest.raises(InputError, match="superres needs tokens or maps"):
        finetune(finetune_config("superres", data=pairs, backbone="resnet18"))
    assert not list(tmp_path.glob("runs/*/*")), "nothing half-written"


def test_a_lack_of_data_is_reported_in_one_line(
    model2: Path, tmp_path: Path, finetune_config: Any, monkeypatch: Any
) -> None:
    with pytest.raises(InputError, match=r"simulate --model 1 --pairs 2"):
        finetune(finetune_config("superres", data=model2, out=tmp_path / "run"))
    with pytest.raises(InputError, match=r"labels_per_class = 1000"):
        finetune(finetune_config("classify", data=model2, labels_per_class=1000))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"simulate --model 3"):
        finetune(finetune_config("classify"))
    with pytest.raises(InputError, match=r"unknown task 'classfy' .did you mean 'classify'"):
        finetune(finetune_config("classify").model_copy(update={"task": "classfy"}))
    assert list(tmp_path.iterdir()) == []


def test_the_default_data_is_the_first_that_serves(
    model2: Path, pairs: Path, tmp_path: Path, finetune_config: Any, monkeypatch: Any
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/model1").symlink_to(model2)  # without pairs
    (tmp_path / "data/model2").symlink_to(pairs)
    monkeypatch.chdir(tmp_path)
    folder, _ = finetune(finetune_config("superres", ("optimizer.epochs=1",)))
    assert "data: data/model2" in (folder / "config.yaml").read_text()


def test_a_training_that_has_diverged_says_so(
    model2: Path, tmp_path: Path, finetune_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(task: Any, rows: Any, memory: Any) -> torch.Tensor:
        return torch.full((len(rows), 3), torch.nan)

    monkeypatch.setattr("learn.finetune.predict_rows", nothing)
    with pytest.raises(InputError, match="has diverged"):
        finetune(finetune_config("classify", data=model2, out=tmp_path / "run"))
