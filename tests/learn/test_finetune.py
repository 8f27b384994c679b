"""Fine-tuning runs."""

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from safetensors.torch import load_file

from learn.config import FinetuneConfig
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.model import load_model
from learn.networks.encoder import Encoder
from learn.networks.encoder_files import load_encoder
from learn.run_files import read_run_config
from learn.training import loop
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards


def test_linear_mode_leaves_the_encoder_as_it_was(
    model2: Path, encoder_run: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config(
        "classify", data=model2, encoder=str(encoder_run), mode="linear", out=tmp_path / "run"
    )
    folder, _ = finetune(config)
    before, after = (load_file(run / "encoder.safetensors") for run in (encoder_run, folder))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_pretrained_encoder_may_be_trained_more_slowly_than_its_head(
    model2: Path, encoder_run: Path, tmp_path: Path, finetune_config: Any
) -> None:
    before, moved = load_file(encoder_run / "encoder.safetensors"), []
    for rate in (1.0, 0.1):
        config = finetune_config(
            "classify",
            (f"encoder_rate={rate}", "optimizer.epochs=1"),
            data=model2,
            encoder=str(encoder_run),
            out=tmp_path / str(rate),
        )
        folder, _ = finetune(config)
        after = load_file(folder / "encoder.safetensors")
        matrices = [name for name in before if before[name].squeeze().ndim > 1]
        moved.append(sum(float((after[n] - before[n]).square().sum()) for n in matrices) ** 0.5)
    # Steps of AdamW have the length of the rate, whatever the gradients.
    assert moved[1] == pytest.approx(0.1 * moved[0], rel=0.3)


@pytest.mark.parametrize("mode", ["full", "linear"])
def test_a_rate_of_an_encoder_that_is_not_trained_or_not_pretrained_is_refused(
    model2: Path, encoder_run: Path, finetune_config: Any, mode: str
) -> None:
    encoder = "none" if mode == "full" else str(encoder_run)
    config = finetune_config(
        "classify", ("encoder_rate=0.1",), data=model2, encoder=encoder, mode=mode
    )
    with pytest.raises(InputError, match=r"encoder_rate=0.1 is for a pretrained encoder with"):
        finetune(config)


@pytest.fixture(scope="module")
def adapted(model2: Path, encoder_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose encoder was changed by low-rank matrices."""
    sets = ("mode=lora", "optimizer.epochs=2", "optimizer.batch_size=16", "optimizer.base_lr=0.01")
    out = tmp_path_factory.mktemp("adapted") / "run"
    path = shipped_config("finetune", "classify", "task")
    places = {"data": model2, "encoder": str(encoder_run), "out": out}
    return finetune(load_config(FinetuneConfig, path, sets, device="cpu", **places))[0]


def test_low_rank_fine_tuning_changes_the_chosen_weights_alone(
    encoder_run: Path, adapted: Path
) -> None:
    before, after = (load_file(run / "encoder.safetensors") for run in (encoder_run, adapted))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert changed == {f"vit.blocks.{b}.{layer}.weight" for b in range(2) for layer in layers}
    for name in changed:
        assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 8


def test_a_network_of_low_rank_fine_tuning_is_used_like_any_other(
    adapted: Path, model2: Path
) -> None:
    metrics = json.loads((adapted / "metrics.json").read_text())
    assert evaluate(adapted).metrics["accuracy"] == pytest.approx(metrics["accuracy"], abs=1e-12)
    again = load_model(adapted)
    with h5py.File(adapted / "predictions.h5") as file:
        rows, predicted = file["index"][()], file["prediction"][()]
    found = again(shards.read(model2).image[rows])
    torch.testing.assert_close(found.double(), torch.from_numpy(predicted).double())
    assert isinstance(load_encoder(adapted), Encoder)


def test_an_interrupted_low_rank_fine_tuning_ends_with_the_same_weights(
    adapted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_run_config(adapted).model_copy(update={"out": tmp_path / "run"})

    class Stopping(loop.Curves):
        def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "Curves", Stopping)
        with pytest.raises(KeyboardInterrupt):
            finetune(config)
    assert not (tmp_path / "run/model.safetensors").exists()
    folder, made = finetune(config)
    assert made
    first, second = (load_file(run / "model.safetensors") for run in (adapted, folder))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_random_weights_are_not_adapted(model2: Path, finetune_config: Any) -> None:
    with pytest.raises(InputError, match="--mode lora changes a pretrained encoder"):
        finetune(finetune_config("classify", data=model2, mode="lora"))


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
