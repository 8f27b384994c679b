import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learn.finetune import finetune
from learn.networks.encoder import load_encoder
from learn.networks.timm_backbone import TimmBackbone, TimmConfig
from learn.pretrain import pretrain
from learn.tasks import task_class
from learn.tasks.classify import classification_metrics
from learn.tasks.superres import bicubic, superres_metrics
from lensphys.ground.errors import InputError
from simulate import shards


@pytest.fixture(scope="module")
def encoder(
    model2: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    from learn.config import PretrainConfig
    from lensphys.ground.config import load_config, shipped_config

    sets = ["encoder.embed_dim=24", "encoder.depth=2", "encoder.patch_size=16"]
    sets += ["optimizer.epochs=1", "optimizer.batch_size=16"]
    config = load_config(
        PretrainConfig,
        shipped_config("pretrain", "mae", "method"),
        sets,
        data=model2,
        device="cpu",
        out=tmp_path_factory.mktemp("encoder") / "run",
    )
    return pretrain(config)[0]


def test_classification_from_a_pretrained_encoder(
    model2: Path, encoder: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config("classify", data=model2, encoder=str(encoder), out=tmp_path / "run")
    folder, made = finetune(config)
    assert made
    metrics = json.loads((folder / "metrics.json").read_text())
    wanted = {"accuracy", "macro_auc", "auc", "f1", "confusion"}
    radial = {"radial_accuracy", "radial_macro_auc", "radial_auc", "radial_ece"}
    assert wanted | {"ece"} | radial == set(metrics)
    assert set(metrics["auc"]) == {"no_sub", "cdm", "axion"}
    assert np.sum(metrics["confusion"]) == 6
    with h5py.File(folder / "predictions.h5") as file:
        assert file["prediction"].shape == (6, 3)
        np.testing.assert_allclose(file["prediction"][()].sum(1), 1, rtol=1e-5)
        data = shards.read(model2)
        np.testing.assert_array_equal(file["label"][()], data.label[file["index"][()]])
    for name in ("loss.png", "roc.png", "confusion.png", "model.safetensors", "encoder.json"):
        assert (folder / name).is_file()
    assert finetune(config) == (folder, False)


def test_linear_mode_leaves_the_encoder_as_it_was(
    model2: Path, encoder: Path, tmp_path: Path, finetune_config: Any
) -> None:
    config = finetune_config(
        "classify", data=model2, encoder=str(encoder), mode="linear", out=tmp_path / "run"
    )
    folder, _ = finetune(config)
    before, after = (load_file(run / "encoder.safetensors") for run in (encoder, folder))
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


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 64), ("vit_tiny_patch16_224", 64), ("mobilenetv3_small_050", 75)],
)
def test_backbones_of_timm_take_one_channel_and_the_size_of_the_data(name: str, size: int) -> None:
    backbone = TimmBackbone(TimmConfig(backbone=name, image_size=size))
    assert backbone.features(torch.rand(2, 1, size, size)).shape == (2, backbone.width)


def test_backbones_that_cannot_be_are_refused_in_one_line(
    model2: Path, pairs: Path, tmp_path: Path, finetune_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for backbone, message in (("resnet81", "did you mean 'resnet"), ("coatnet_nano_rw_224", "75")):
        with pytest.raises(InputError, match=message):
            TimmBackbone(TimmConfig(backbone=backbone, image_size=75))
    with pytest.raises(InputError, match="no model 'resnet81'"):
        finetune(finetune_config("classify", data=model2, backbone="resnet81"))
    with pytest.raises(InputError, match="add --encoder none"):
        finetune(finetune_config("classify", data=model2, backbone="resnet18", encoder="x"))
    with pytest.raises(InputError, match="superres needs tokens or maps"):
        finetune(finetune_config("superres", data=pairs, backbone="resnet18"))
    assert not list(tmp_path.glob("runs/*/*")), "nothing half-written"


def test_super_resolution_beside_bicubic(pairs: Path, tmp_path: Path, finetune_config: Any) -> None:
    config = finetune_config("superres", data=pairs, out=tmp_path / "run")
    folder, _ = finetune(config)
    metrics = json.loads((folder / "metrics.json").read_text())
    measures = ("mse", "psnr", "ssim", "class_psnr")
    names = {f"{kind}{name}" for kind in ("", "clean_") for name in measures}
    assert names | {f"bicubic_{name}" for name in names} == set(metrics)
    with h5py.File(folder / "predictions.h5") as file:
        assert file["prediction"].shape[1:] == (1, 64, 64)
    assert (folder / "triptych.png").is_file()


def test_an_untrained_super_resolution_is_bicubic(pairs: Path, finetune_config: Any) -> None:
    from learn.data import Batch, Stretch
    from learn.networks.encoder import Encoder

    config = finetune_config("superres", data=pairs)
    data = shards.read(pairs)
    low = torch.from_numpy(data.image_lr)
    stretch = Stretch.fit(low, config.stretch)
    task = task_class("superres")
    module = task(config, Encoder(config.scratch_encoder), stretch, data, np.arange(40), 1).eval()
    batch = Batch(torch.from_numpy(data.image), torch.from_numpy(data.label), low)
    predicted = module.predict_batch(batch)
    torch.testing.assert_close(predicted, bicubic(low, 2) / 4, rtol=1e-4, atol=1e-5)


def test_what_a_task_lacks_is_said_in_one_line(
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
        task_class("classfy")
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


def test_classification_metrics_of_a_known_case() -> None:
    probability = np.array([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.7, 0.3]])
    metrics = classification_metrics(probability, np.array([0, 0, 1, 1]), ["a", "b"])
    assert metrics["accuracy"] == 0.75
    assert metrics["auc"] == {"a": 0.75, "b": 0.75}
    assert metrics["confusion"] == [[2, 0], [1, 1]]


def test_super_resolution_metrics_of_a_known_case() -> None:
    truth = np.random.default_rng(0).random((2, 1, 16, 16)).astype(np.float32)
    metrics = superres_metrics(truth + np.float32(0.1), truth)
    assert metrics["mse"] == pytest.approx(0.01, rel=1e-4)
    assert metrics["psnr"] == pytest.approx(20, rel=1e-4)
    assert superres_metrics(truth, truth)["ssim"] == pytest.approx(1)
