"""Physics-informed I-JEPA."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from learn.config import PretrainConfig
from learn.data import InMemory, Stretch
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.lens_fits.channels import high_pass
from learn.lens_fits.store import fit_data_set
from learn.methods.physics_ijepa import PhysicsIJEPA
from learn.pretrain import pretrain
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import read
from tests.learn.conftest import TINY, WHOLE_FIT


def test_one_part_of_the_loss_must_be_left(build: Any) -> None:
    nothing = ("params.perturber_weight=0", "params.prediction_weight=0")
    with pytest.raises(InputError, match="must not both be 0"):
        build("physics-ijepa", *nothing)


#: Beyond the defaults: more channels for the encoder, and target blocks where the light is.
ALL_PARTS = (
    "encoder.lens_fit.response=true",
    "encoder.lens_fit.source_plane=true",
    "params.lens_masking=true",
)


@pytest.fixture(scope="module")
def lenses(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    folder = tmp_path_factory.mktemp("physical") / "data"
    config = load_simulate_config(2, "physical", n=12, workers=1, out=folder, device="cpu")
    data = read(simulate(config)[0])
    return InMemory(data, fits=fit_data_set(data, WHOLE_FIT))[torch.arange(12)].stack


def method(pretrain_config: Any, *sets: str) -> PhysicsIJEPA:
    config = pretrain_config("physics-ijepa", sets)
    return PhysicsIJEPA(config, Stretch("asinh"), 10)


@pytest.mark.parametrize("parts", [(), ALL_PARTS])
def test_every_parameter_of_the_student_learns(
    parts: tuple[str, ...], pretrain_config: Any, lenses: torch.Tensor
) -> None:
    module = method(pretrain_config, *parts)
    losses = module.loss(lenses)
    losses["loss"].backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in module.teacher.parameters())
    assert {"prediction", "presence", "weighing"} <= losses.keys()


def test_unknown_masses_can_be_learnt(pretrain_config: Any, lenses: torch.Tensor) -> None:
    """After a few steps their presence is predicted better than by chance."""
    module = method(pretrain_config, "params.prediction_weight=0", "params.perturber_snr=[100,200]")
    optimizer = torch.optim.AdamW(module.parameters(), 3e-3)
    images = lenses.repeat(8, 1, 1, 1)
    seen = []
    for _ in range(60):
        losses = module.loss(images)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        seen.append(losses["presence"].item())
    assert np.mean(seen[-10:]) < 0.8 * np.mean(seen[:5])


@pytest.mark.parametrize("weight", ["prediction_weight", "perturber_weight"])
def test_each_part_of_the_loss_can_be_left_out(
    pretrain_config: Any, lenses: torch.Tensor, weight: str
) -> None:
    losses = method(pretrain_config, f"params.{weight}=0").loss(lenses)
    assert ("prediction" in losses) == (weight != "prediction_weight")
    assert ("presence" in losses) == (weight != "perturber_weight")
    assert torch.isfinite(losses["loss"])


def test_half_precision_is_enough(pretrain_config: Any, lenses: torch.Tensor) -> None:
    module = method(pretrain_config)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(0)
        half = module.loss(lenses)
    torch.manual_seed(0)
    full = module.loss(lenses)
    for name in ("presence", "weighing", "prediction"):
        assert half[name].item() == pytest.approx(full[name].item(), rel=0.05, abs=0.02)


def test_masses_change_image_and_residual_alike(pretrain_config: Any, lenses: torch.Tensor) -> None:
    """The change of the flux is the residual that a fit of the changed image would leave."""
    module = method(pretrain_config)
    change = torch.randn(12, 1, 64, 64)
    before = module.stretch(lenses)
    after = module._with(before, change)
    added = module.stretch.undo(after) - lenses[:, :1]
    torch.testing.assert_close(added, change * lenses[:, 6:], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(after[:, 1:2], lenses[:, 1:2] + change)
    assert torch.equal(after[:, 2:], lenses[:, 2:])
    control = method(pretrain_config, "encoder.lens_fit.residual=high-pass")._with(before, change)
    sigma = lenses[:, 6:]
    expected = lenses[:, 1:2] + high_pass(change * sigma) / sigma
    torch.testing.assert_close(control[:, 1:2], expected)
    some = module._with(before, change[:5])
    assert torch.equal(some[:5], after[:5])
    assert torch.equal(some[5:], before[5:])


@pytest.mark.parametrize(("share", "changed"), [(1.0, 12), (0.5, 6), (0.01, 1)])
def test_masses_are_put_into_a_share_of_the_batch(
    pretrain_config: Any,
    lenses: torch.Tensor,
    share: float,
    changed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is predicted as it is, without a question about masses."""
    sets = f"params.perturber_share={share}", "params.perturber_free=0"
    module = method(pretrain_config, *sets)
    asked, predicted = [], []
    features, prediction = module.encoder.features, module.prediction
    monkeypatch.setattr(module.encoder, "features", lambda s: asked.append(s) or features(s))
    monkeypatch.setattr(
        module, "prediction", lambda s, *m: predicted.append(s) or prediction(s, *m)
    )
    module.loss(lenses)
    before, after = module.encoder.prepare(lenses).patches, predicted[0].patches
    assert torch.equal(asked[0].patches, after[:changed])
    assert (before != after).flatten(1).any(1).tolist() == [True] * changed + [False] * (
        12 - changed
    )


def test_the_given_images_are_not_changed(pretrain_config: Any, lenses: torch.Tensor) -> None:
    before = lenses.clone()
    method(pretrain_config).loss(lenses)
    assert torch.equal(before, lenses)


def test_configurations_that_cannot_work_are_refused(pretrain_config: Any) -> None:
    def check(*sets: str) -> None:
        config = pretrain_config("physics-ijepa", sets)
        PhysicsIJEPA.check(config, PhysicsIJEPA.Params(**config.params))

    check()
    with pytest.raises(InputError, match=r"needs encoder\.lens_fit"):
        check("encoder.lens_fit=null")
    with pytest.raises(InputError, match=r"detection searches the residual: set it to false"):
        check("encoder.lens_fit.residual=none")
    none = ("encoder.lens_fit.residual=none", "encoder.lens_fit.detection=false")
    with pytest.raises(InputError, match=r"perturber_weight=0"):
        check(*none)
    check(*none, "params.perturber_weight=0")
    with pytest.raises(InputError, match="jitter must be 0"):
        check("jitter.shift=1.0")


@pytest.fixture(scope="module")
def pretrained(model2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = shipped_config("pretrain", "physics-ijepa", "method")
    sets = [f"encoder.{name}={value}" for name, value in TINY.items()]
    sets += ["optimizer.epochs=1", "optimizer.warmup_epochs=0", "optimizer.batch_size=16"]
    sets += ["monitor=null"]
    out = tmp_path_factory.mktemp("pretrained") / "run"
    config = load_config(PretrainConfig, path, sets, device="cpu", data=model2, out=out)
    return pretrain(config)[0]


def test_a_run_leaves_its_lens_fits_in_numbers_and_a_picture(pretrained: Path) -> None:
    for name in ("lens_fits.json", "lens_fits.png", "encoder.safetensors"):
        assert (pretrained / name).is_file()


@pytest.mark.parametrize("task", ["classify", "regress", "superres"])
def test_its_encoder_serves_the_tasks(
    task: str, pretrained: Path, pairs: Path, tmp_path: Path, finetune_config: Any
) -> None:
    """The weights also serve images that belong to no data set."""
    small = {"superres": ("params.width=4", "params.blocks=1")}.get(task, ())
    config = finetune_config(task, small, data=pairs, encoder=str(pretrained), out=tmp_path / "run")
    run, _ = finetune(config)
    metrics = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == metrics
    data, model = read(pairs), load_model(run)
    with h5py.File(run / "predictions.h5") as file:
        rows, wanted = file["index"][()], file["prediction"][()]
    column = data.image_lr if task == "superres" else data.image
    with torch.inference_mode():
        found = model(column[rows]).numpy()
    found = found[:, 0] if task == "regress" else found  # the means, not the errors
    difference = np.abs(found - wanted).reshape(len(rows), -1).max(1)
    rounding = 1e-3 * np.abs(wanted).max()
    assert np.median(difference) < rounding, "fits of other batches are rounded otherwise"
    with pytest.raises(InputError, match="ONNX cannot"):
        write_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="ONNX cannot"):
        export(run, tmp_path / "exported", onnx=True)
    assert not (tmp_path / "exported").exists(), "nothing half done is left"
