"""Pretraining runs."""

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from learn.finetune import finetune
from learn.inference.encoder_input import read_input
from learn.lens_fits.channels import STACK
from learn.methods import METHODS
from learn.networks.encoder_files import load_encoder
from learn.pretrain import _check_size, pretrain
from learn.run_files import read_curves
from lensphys.ground.errors import InputError
from simulate import shards
from simulate.dataset.padding import read_padding
from simulate.importers.run import import_images
from simulate.shards import DataSet
from tests.simulate.importers.make_files import image, options, save


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_config_curves_checkpoint_and_encoder(
    method: str, model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    config = pretrain_config(method, data=model2, out=tmp_path / "run")
    folder, made = pretrain(config)
    assert made
    present = {path.name for path in folder.iterdir()}
    wanted = {
        "config.yaml",
        "data.json",
        "metrics.csv",
        "checkpoints",
        "encoder.safetensors",
        "encoder.json",
    }
    of_fits = {"lens_fits.json", "lens_fits.png"} if config.encoder.lens_fit else set()
    assert wanted | of_fits | {"loss.png", "tensorboard"} == present
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    assert stored["optimizer"]["epochs"] == 2
    assert stored["precision"] == "32-true", "resolved"
    curves = read_curves(folder / "metrics.csv")
    assert [row["epoch"] for row in curves] == ["0", "1"]
    assert all(np.isfinite(float(row["train_loss"])) for row in curves)
    assert [row["collapsed"] != "" for row in curves] == [False, True], "the last is measured"
    channels = len(STACK) if config.encoder.lens_fit else 1
    assert load_encoder(folder)(torch.rand(1, channels, 64, 64)).isfinite().all()
    left = json.loads((folder / "encoder.json").read_text())
    assert left["method"] == method
    assert left["images"] == 48, "a fifth is held out to be watched"
    assert left["lr"] == pytest.approx(1e-3 * (16 / 2048) ** 0.5), "scaled from the batch"
    assert float(curves[0]["lr"]) <= left["lr"]
    assert 0 <= left["monitor"]["linear_probe"] <= 1, "of six images, none may be told"
    assert pretrain(config) == (folder, False), "a finished run is left alone"


def test_the_learning_rate_is_that_of_the_batch_that_there_is(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    large = ("optimizer.batch_size=256", "optimizer.base_lr=1e-3", "optimizer.epochs=1")
    config = pretrain_config("mae", large, data=model2, out=tmp_path / "run")
    folder, _ = pretrain(config)
    left = json.loads((folder / "encoder.json").read_text())
    assert left["lr"] == pytest.approx(1e-3 * (48 / 512) ** 0.5)
    (epoch,) = read_curves(folder / "metrics.csv")
    assert float(epoch["lr"]) <= left["lr"]


def test_bad_input_is_refused_in_one_line(
    model2: Path, tmp_path: Path, pretrain_config: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="simulate --model 2"):
        pretrain(pretrain_config("mae", data=tmp_path / "nothing"))
    with pytest.raises(InputError, match="images of 64 pixels"):
        pretrain(pretrain_config("mae", ("encoder.image_size=32",), data=model2))
    with pytest.raises(InputError, match="no class 'axions'"):
        pretrain(pretrain_config("mae", data=model2, classes=("axions",)))
    for method in ("simclr", "moco", "dino", "ibot"):
        with pytest.raises(InputError, match=f"{method} compares the images of a batch"):
            pretrain(pretrain_config(method, ("optimizer.batch_size=1",), data=model2))
    with pytest.raises(InputError, match="not a multiple of devices x nodes x accumulate = 3"):
        pretrain(pretrain_config("mae", ("optimizer.accumulate=3",), data=model2))
    with pytest.raises(InputError, match="did you mean 'mask_ratio'"):
        pretrain(pretrain_config("mae", ("params.mask_ration=0.5",), data=model2))
    with pytest.raises(InputError, match="need --out"):
        pretrain(pretrain_config("mae", data=model2, nodes=2))
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="cannot write"):
        pretrain(pretrain_config("mae", data=model2, out=file / "run"))
    file.unlink()
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 64, 64), "3 channels"), ((1, 64, 48), "64 x 48"), ((1, 48, 48), "images of 48 pixels")],
)
def test_images_that_the_encoder_is_not_made_for_are_refused(
    shape: tuple[int, ...],
    message: str,
    model2: Path,
    tmp_path: Path,
    pretrain_config: Any,
    monkeypatch: Any,
) -> None:
    data = shards.read(model2)
    other = dataclasses.replace(data, image=np.ones((len(data), *shape), np.float32))
    monkeypatch.setattr(shards, "read", lambda *_: other)
    with pytest.raises(InputError, match=message):
        pretrain(pretrain_config("mae", data=model2, out=tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_without_a_monitor_every_image_is_trained_on(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    sets = ("optimizer.epochs=1", "monitor=null", "precision=bf16", "compile=false")
    folder, _ = pretrain(pretrain_config("mae", sets, data=model2, out=tmp_path / "run"))
    left = json.loads((folder / "encoder.json").read_text())
    assert left["images"] == 60
    assert left["monitor"] is None
    assert "precision: bf16-mixed" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize("method", ["ijepa", "lens-lejepa"])
def test_the_middle_of_larger_images_is_seen_in_coarser_pixels(
    method: str, model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    sets = ("optimizer.epochs=1", "encoder.image_size=24", "encoder.patch_size=8", "binning=2")
    folder, _ = pretrain(pretrain_config(method, sets, data=model2, out=tmp_path / "run"))
    about = json.loads((folder / "encoder.json").read_text())
    assert about["binning"] == 2
    data = shards.read(model2)
    middle = data.image[:, :, 8:56, 8:56].reshape(60, 1, 24, 2, 24, 2).sum((3, 5))
    encoder_input, _ = read_input(about, load_encoder(folder), str(folder))
    seen = encoder_input(torch.from_numpy(data.image), None)
    torch.testing.assert_close(seen, encoder_input.stretch(torch.from_numpy(middle)))
    peak = torch.from_numpy(middle).flatten(1).amax(1).median().item()
    assert 1e-4 * peak * 0.5 < encoder_input.stretch.softening.item() < 0.1 * peak


def test_a_binning_that_leaves_too_few_pixels_is_refused(
    model2: Path, pretrain_config: Any
) -> None:
    with pytest.raises(InputError, match="binning = 2 needs images of 128 pixels"):
        pretrain(pretrain_config("mae", ("binning=2",), data=model2))


@pytest.mark.parametrize(
    ("size", "ways"),
    [
        (32, ["encoder.image_size=32"]),
        (61, ["encoder.image_size=56 --set binning=1"]),
        (60, ["encoder.image_size=60 --set encoder.patch_size=10"]),
        (72, ["binning=1", "encoder.image_size=72"]),
        (122, ["binning=1"]),
        (150, ["binning=2", "encoder.image_size=150 --set encoder.patch_size=10"]),
        (6, ["encoder.image_size=6 --set encoder.patch_size=6"]),
    ],
)
@pytest.mark.parametrize("imported", [True, False])
def test_images_of_another_size_are_refused_with_settings_that_serve(
    size: int, ways: list[str], imported: bool, pretrain_config: Any
) -> None:
    command = {"command": "import"} if imported else {}
    image = np.zeros((1, 1, size, size), np.float32)
    data = DataSet(Path("data/mine"), image, np.zeros(1, np.int64), {}, None, {}, command)
    wide = ("encoder.image_size=64", "encoder.patch_size=8")
    with pytest.raises(InputError) as error:
        _check_size(pretrain_config("mae", wide, data=data.path), data)
    advised = re.findall(r"--set ([^;]+?)(?: for their middle)?(?:;|$)", str(error.value))
    assert advised == ways
    assert ("--size 64 --out data/mine-64, which" in str(error.value)) is imported
    for way in advised:
        sets = (*wide, *way.split(" --set "))
        _check_size(pretrain_config("mae", sets, data=data.path), data)


@pytest.mark.parametrize(("size", "way"), [(48, False), (120, False), (134, True)])
def test_pairs_are_not_told_to_be_imported_in_a_size_that_is_refused(
    size: int, way: bool, pretrain_config: Any
) -> None:
    pairs = {"command": "import", "pairs": 3 if size == 120 else 2}
    image = np.zeros((1, 1, size, size), np.float32)
    data = DataSet(Path("data/mine"), image, np.zeros(1, np.int64), {}, None, {}, pairs)
    with pytest.raises(InputError) as error:
        _check_size(pretrain_config("mae", ("encoder.image_size=64",), data=data.path), data)
    assert ("--size 64 --out data/mine-64, which crops them" in str(error.value)) is way
    assert ("import" in str(error.value)) is way


def cutouts(folder: Path, sides: Iterable[int]) -> Path:
    """Cutouts of two classes, of these numbers of pixels on a side, as a data set."""
    for name in ("lens", "other"):
        for i, n in enumerate(sides):
            save(folder / "cut" / name / f"{i}.npy", image(n))
    given = options(label_names=("lens", "other"), out=folder / "data")
    return import_images(folder / "cut", given)[0]


def test_cutouts_of_several_sizes_train_an_encoder_and_a_task(
    tmp_path: Path, pretrain_config: Any, finetune_config: Any
) -> None:
    data = cutouts(tmp_path, range(58, 71))
    assert read_padding(shards.read(data).params) is not None
    once = ("optimizer.epochs=1",)
    run, _ = pretrain(pretrain_config("mae", once, data=data, out=tmp_path / "run"))
    config = finetune_config("classify", once, data=data, encoder=str(run), out=tmp_path / "task")
    metrics = json.loads((finetune(config)[0] / "metrics.json").read_text())
    assert np.isfinite(metrics["radial_accuracy"])


def test_the_settings_that_are_advised_for_a_size_train_an_encoder(
    tmp_path: Path, pretrain_config: Any
) -> None:
    data = cutouts(tmp_path, [61] * 13)
    config = ("optimizer.epochs=1", "encoder.patch_size=8")
    with pytest.raises(InputError) as error:
        pretrain(pretrain_config("mae", config, data=data))
    way = "encoder.image_size=56 --set binning=1"
    assert f"--set {way} for their middle; or repeat" in str(error.value)
    sets = (*config, *way.split(" --set "))
    assert pretrain(pretrain_config("mae", sets, data=data, out=tmp_path / "run"))[1]
