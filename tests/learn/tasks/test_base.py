"""Every task."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import cli
from learn.data import Batch
from learn.data_description import DataDescription, describe
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.lens_fits.channels import CHANNELS
from learn.lens_fits.lens_fits import LensFits
from learn.networks.encoder import Encoder
from learn.splits import Split
from learn.tasks import TASKS, task_class
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import LENS_FIT, QUICK_FIT, SMALL

#: Parts of a task beside its head that see lens fits wherever the encoder does.
BESIDE = ("encoder", "outliers", "detection")
KEYS = {
    "classify": "sees_fit",
    "regress": "from_fit",
    "find": "sees_fit",
    "superres": "renders_fit",
}


@pytest.mark.parametrize("task", list(KEYS))
def test_without_lens_fits_or_the_key_the_network_is_the_plain_one(
    task: str, look_alikes: Path, untrained_task: Any
) -> None:
    off = f"params.{KEYS[task]}=false"
    plain, _ = untrained_task(task, look_alikes, off)
    blind, _ = untrained_task(task, look_alikes)
    without, data = untrained_task(task, look_alikes, QUICK_FIT, off)
    whole, _ = untrained_task(task, look_alikes, QUICK_FIT)
    assert plain.state_dict().keys() == blind.state_dict().keys()
    for name, weights in plain.state_dict().items():
        torch.testing.assert_close(weights, blind.state_dict()[name], equal_nan=True)
    own, seen, more = (
        {name: w.shape for name, w in made.state_dict().items() if not name.startswith(BESIDE)}
        for made in (plain, without, whole)
    )
    assert seen.pop("lens_fitting.exposure") == ()
    assert own == seen
    assert more != seen
    memory = without.load(data, "cpu")
    assert memory.fits is not None
    assert memory.fits.detail is None
    batch, rows = memory[torch.arange(8)], np.arange(8)
    assert batch.fits is not None
    blank = dataclasses.replace(
        batch.fits,
        values=torch.full_like(batch.fits.values, torch.nan),
        covariance=torch.full_like(batch.fits.covariance, torch.nan),
        chi2_dof=torch.full_like(batch.fits.chi2_dof, torch.nan),
    )
    with torch.no_grad():
        predictions = without.predict_batch(batch)
        bare = without.predict_batch(batch._replace(fits=blank))
        torch.testing.assert_close(predictions, bare)
    rest = batch.fits.without_channels()
    if task != "superres":  # its radial baseline needs no fit to be measured
        without.calibrate(predictions, data, Split(rows, rows, rows), rest)
    metrics = without.measure(predictions, data, rows, rest)
    assert not [name for name in metrics if name.startswith("fit_")]


def test_fits_are_compared_with_the_usual_lens_before_they_are_turned(
    look_alikes: Path, untrained_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, data = untrained_task("classify", look_alikes, QUICK_FIT, "augment=true")
    memory = module.load(data, "cpu")
    assert memory.fits is not None
    memory.fits = module.learn_fits(memory.fits, torch.arange(len(data)))
    seen: list[LensFits] = []

    def caught(batch: Batch) -> torch.Tensor:
        assert batch.fits is not None
        seen.append(batch.fits)
        return torch.zeros(())

    monkeypatch.setattr(module, "loss", caught)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.training_step(memory[torch.arange(len(data))], 0)
    assert module.head.fit_encoder is not None

    def length(fits: LensFits) -> torch.Tensor:
        assert fits.deviation is not None
        return fits.deviation.norm(dim=1)

    whole = module.head.fit_encoder.usual_lens.compare(memory.fits)
    torch.testing.assert_close(length(seen[0]), length(whole))
    assert not torch.equal(seen[0].params["center_x"], memory.fits.params["center_x"])


def test_a_batch_carries_the_fits_of_its_images(look_alikes: Path, untrained_task: Any) -> None:
    module, data = untrained_task("find", look_alikes, QUICK_FIT)
    memory, rows = module.load(data, "cpu"), torch.tensor([5, 0, 3])
    batch: Batch = memory[rows]
    assert memory.fits is not None
    assert batch.fits is not None
    for name, values in memory.fits.params.items():
        assert torch.equal(batch.fits.params[name], values[rows])


@pytest.mark.parametrize("task", list(KEYS))
def test_a_run_that_builds_on_fits_is_a_run_like_any_other(
    task: str, look_alikes: Path, tmp_path: Path, finetune_config: Any
) -> None:
    sets = (QUICK_FIT, *SMALL.get(task, ()))
    run, _ = finetune(finetune_config(task, sets, data=look_alikes, out=tmp_path / "run"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == metrics
    data, model = shards.read(look_alikes), load_model(run)
    if task == "regress":
        assert metrics["fit_mae"].keys() == metrics["fit_coverage68"].keys()
        assert "theta_E" in metrics["fit_mae"]
        assert "log10_axion_mass" not in metrics["fit_mae"]
    assert ("fit_psnr" in metrics) == (task == "superres")
    with h5py.File(run / "predictions.h5") as file:
        rows = file["index"][()]
        wanted = file["log_odds" if task == "find" else "prediction"][()]
    images = data.image_lr if task == "superres" else data.image
    assert images is not None
    with torch.inference_mode():
        found = model(images[rows]).numpy()
        assert np.array_equal(load_model(export(run))(images[rows]).numpy(), found)
    found = found[:, 0] if task == "regress" else found
    difference = np.abs(found - wanted).reshape(len(rows), -1).max(1)
    # Other batches are rounded otherwise, and a short fit may end in another minimum for it.
    agreeing = difference < 1e-3 * np.abs(wanted).max()
    assert agreeing.sum() >= len(rows) / 2


@pytest.mark.parametrize("backbone", ["vit", "resnet10t"])
def test_a_binned_run_is_reproduced_and_exported(
    backbone: str, model2: Path, tmp_path: Path, finetune_config: Any
) -> None:
    pytest.importorskip("onnxruntime")
    import onnxruntime

    sets = ("params.binning=2", "optimizer.epochs=1")
    config = finetune_config("classify", sets, data=model2, out=tmp_path / "run", backbone=backbone)
    run, _ = finetune(config)
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == metrics
    model = load_model(run)
    assert model.size == 64, "of the images, not of what the encoder sees"
    softening = model.task.stretch.softening
    images = 30 * softening * torch.randn(3, 1, 64, 64)
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, model(images).numpy(), atol=1e-5)
    # A pattern that coarse pixels average out does not matter.
    checkers = 1.0 - 2.0 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2)
    finer = images + 10 * softening * checkers
    torch.testing.assert_close(model(finer), model(images), rtol=1e-3, atol=1e-4)


def test_the_help_of_finetune_lists_every_task(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        cli.main(["finetune", "--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(f"{task}:" in out for task in TASKS)


DATA = DataDescription(
    attrs={
        "label_names": ["no_sub", "cdm", "non_lens"],
        "pixel_scale": 0.1,
        "pixel_scale_lr": 0.2,
        "unit": "e-/s",
    },
    config={},
    images=50,
    shapes={"image": [64, 64], "image_lr": [32, 32]},
    params=["theta_E", "gamma1"],
)


@pytest.mark.parametrize("fit", [(), (LENS_FIT,)], ids=["images", "lens fits"])
@pytest.mark.parametrize("name", list(TASKS))
def test_a_task_is_built_from_the_form_of_its_data_alone(
    name: str, fit: tuple[str, ...], finetune_config: Any, random_fits: Any
) -> None:
    """No data set is there, nor anything in its place."""
    columns = ("params.columns=[theta_E, gamma1]",) if name == "regress" else ()
    kind = task_class(name)
    config = finetune_config(name, (*SMALL.get(name, ()), *fit, *columns))
    task = kind(config, kind.make_backbone(config, DATA.side(kind.column)), DATA).eval()
    fits = None
    if fit:
        side = DATA.side(kind.column)
        fits = random_fits(3).map(lambda v: v.float() if v.is_floating_point() else v)
        detail = torch.zeros(3, 1, 64, 64) if name == "superres" else None
        channels = torch.rand(3, len(CHANNELS), side, side)
        fits = dataclasses.replace(fits, channels=channels, detail=detail)
    image, low = torch.rand(3, 1, 64, 64), torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        found = task.predict_batch(Batch(image, torch.zeros(3, dtype=torch.int64), low, fits=fits))
    shapes = {"classify": (3, 3), "find": (3,), "regress": (3, 2, 2), "superres": (3, 1, 64, 64)}
    assert found.shape == shapes[name]
    assert found.isfinite().all()
    assert task.must_match(DATA)["image_size"] == [64, 64]


@pytest.mark.parametrize("name", list(TASKS))
def test_all_that_a_task_has_learnt_is_in_its_weights(
    name: str, look_alikes: Path, untrained_task: Any
) -> None:
    learnt, data = untrained_task(name, look_alikes)
    fresh = type(learnt)(learnt.config, Encoder(learnt.config.scratch_encoder), describe(data))
    memory, rows = learnt.load(data, "cpu"), torch.arange(4)
    with torch.no_grad():
        expected = learnt.predict_batch(memory[rows])
        assert not torch.allclose(fresh.eval().predict_batch(memory[rows]), expected)
        fresh.load_state_dict(learnt.state_dict())
        assert torch.equal(fresh.predict_batch(memory[rows]), expected)


def test_loose_images_need_no_fits_where_the_encoder_sees_images_alone(
    model2: Path, untrained_task: Any
) -> None:
    task, data = untrained_task("classify", model2)
    images = torch.from_numpy(data.image[:2])
    assert task.fit_loose(images, describe(data), np.full(2, np.nan), "run") is None
    assert task.load(data, "cpu").fits is None


def test_unknown_tasks_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown task 'classfy' .did you mean 'classify'"):
        task_class("classfy")
