"""Physics-informed I-JEPA."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from learn.config import PretrainConfig
from learn.data import Batch, InMemory, Stretch
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.lens_fits.channels import CHANNELS, high_pass
from learn.lens_fits.draws import DrawSettings
from learn.lens_fits.maps import change_snr
from learn.lens_fits.store import fit_data_set
from learn.methods.physics_ijepa import PhysicsIJEPA
from learn.pretrain import pretrain
from lensphys.ground.config import load_config, shipped_config, validate
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
def lenses(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Lenses with their fits, and groups of masses drawn beside them."""
    folder = tmp_path_factory.mktemp("physical") / "data"
    config = load_simulate_config(2, "physical", n=12, workers=1, out=folder, device="cpu")
    data = read(simulate(config)[0])
    fits = fit_data_set(data, WHOLE_FIT, draws=DrawSettings(count=12, most=40))
    return InMemory(data, fits=fits)[torch.arange(12)]


def method(pretrain_config: Any, *sets: str) -> PhysicsIJEPA:
    config = pretrain_config("physics-ijepa", sets)
    return PhysicsIJEPA(config, Stretch("asinh"), 10)


def channels_of(batch: Batch) -> dict[str, torch.Tensor]:
    assert batch.channels is not None
    return CHANNELS.split(batch.channels)


@pytest.mark.parametrize("parts", [(), ALL_PARTS])
def test_every_parameter_of_the_student_learns(
    parts: tuple[str, ...], pretrain_config: Any, lenses: Batch
) -> None:
    module = method(pretrain_config, *parts)
    losses = module.losses(lenses)
    losses["loss"].backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in module.teacher.parameters())
    assert {"prediction", "presence", "weighing"} <= losses.keys()


def test_unknown_masses_can_be_learnt(pretrain_config: Any, lenses: Batch) -> None:
    """After a few steps their presence is predicted better than by chance."""
    sets = ("params.prediction_weight=0", "params.perturber_share=1", "params.perturber_free=0.5")
    module = method(pretrain_config, *sets, "params.perturber_snr=[100,200]")
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    index = torch.arange(12).repeat(8)
    assert lenses.fits is not None
    images = lenses._replace(image=lenses.image[index], fits=lenses.fits.rows(index))
    seen = []
    for _ in range(50):
        losses = module.losses(images)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        seen.append(losses["presence"].item())
    assert np.mean(seen[-10:]) < 0.75 * np.log(2)


@pytest.mark.parametrize("weight", ["prediction_weight", "perturber_weight"])
def test_each_part_of_the_loss_can_be_left_out(
    pretrain_config: Any, lenses: Batch, weight: str
) -> None:
    sets = (f"params.{weight}=0", "params.teacher_sees=image")
    losses = method(pretrain_config, *sets).losses(lenses)
    assert ("prediction" in losses) == (weight != "prediction_weight")
    assert ("presence" in losses) == (weight != "perturber_weight")
    assert torch.isfinite(losses["loss"])


def test_masses_are_drawn_only_where_the_loss_asks_for_them(pretrain_config: Any) -> None:
    params = method(pretrain_config).params
    assert PhysicsIJEPA.draws(params) == DrawSettings(count=12, most=40)
    assert PhysicsIJEPA.draws(params.model_copy(update={"perturber_weight": 0.0})) is None


def test_the_loss_is_the_weighted_sum_of_its_parts(pretrain_config: Any, lenses: Batch) -> None:
    plain = method(pretrain_config)
    torch.manual_seed(0)
    one = plain.losses(lenses)
    sets = ("params.prediction_weight=3", "params.perturber_weight=0.5")
    weighted = method(pretrain_config, *sets)
    weighted.load_state_dict(plain.state_dict())
    torch.manual_seed(0)
    two = weighted.losses(lenses)
    masses = one["presence"] + one["weighing"]
    predicted = one["loss"] - masses
    torch.testing.assert_close(two["loss"], 3 * predicted + 0.5 * masses)


def test_half_precision_is_enough(pretrain_config: Any, lenses: Batch) -> None:
    module = method(pretrain_config)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(0)
        half = module.losses(lenses)
    torch.manual_seed(0)
    full = module.losses(lenses)
    for name in ("presence", "weighing", "prediction"):
        assert half[name].item() == pytest.approx(full[name].item(), rel=0.05, abs=0.02)


def test_masses_change_image_residual_and_snr_alike(pretrain_config: Any, lenses: Batch) -> None:
    """The change of the flux is the residual that a fit of the changed image would leave."""
    module, before = method(pretrain_config), channels_of(lenses)
    assert lenses.fits is not None
    draws = lenses.fits.draws
    assert isinstance(draws, torch.Tensor)
    change = 50 * draws[:5, :1]
    after = module._put_in(lenses, change)
    found, sigma = channels_of(after), before["sigma"][:5]
    torch.testing.assert_close(after.image[:5] - lenses.image[:5], change * sigma)
    torch.testing.assert_close(found["residual"][:5], before["residual"][:5] + change)
    snr = change_snr(change, before["response"][:5], before["log_error"][:5])
    torch.testing.assert_close(found["snr"][:5], before["snr"][:5] + snr)
    assert snr.abs().amax((1, 2, 3)).min() > 5, "a group of S/N 50 shows in the maps"
    for name in ("response", "source_plane", "sigma", "log_error"):
        assert torch.equal(found[name], before[name]), name
    assert torch.equal(after.image[5:], lenses.image[5:])
    for name in CHANNELS.parts:
        assert torch.equal(found[name][5:], before[name][5:]), name


def test_the_control_sees_the_masses_in_the_image_alone(
    pretrain_config: Any, lenses: Batch
) -> None:
    sets = ("encoder.lens_fit.residual=high-pass", "encoder.lens_fit.detection=false")
    change = torch.randn(12, 1, 64, 64)
    before = channels_of(lenses)
    found = channels_of(method(pretrain_config, *sets)._put_in(lenses, change))
    expected = before["residual"] + high_pass(change * before["sigma"]) / before["sigma"]
    torch.testing.assert_close(found["residual"], expected)
    assert torch.equal(found["snr"], before["snr"])


@pytest.mark.parametrize(("share", "changed"), [(1.0, 12), (0.5, 6), (0.01, 1)])
def test_masses_are_put_into_a_share_of_the_batch(
    pretrain_config: Any,
    lenses: Batch,
    share: float,
    changed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is predicted as it is, without a question about masses."""
    sets = f"params.perturber_share={share}", "params.perturber_free=0", "augment=false"
    module = method(pretrain_config, *sets)
    asked, predicted = [], []
    features, prediction = module.encoder.features, module.prediction
    monkeypatch.setattr(module.encoder, "features", lambda s: asked.append(s) or features(s))
    monkeypatch.setattr(
        module, "prediction", lambda s, *m: predicted.append(s) or prediction(s, *m)
    )
    module.losses(lenses)
    before, after = module.encoder.prepare(module.view(lenses)).patches, predicted[0].patches
    assert torch.equal(asked[0].patches, after[:changed])
    assert (before != after).flatten(1).any(1).tolist() == [True] * changed + [False] * (
        12 - changed
    )


def test_a_teacher_may_see_the_masses_alone(
    pretrain_config: Any, lenses: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The student sees noise and residuals too, in the same symmetry."""
    sets = ("params.teacher_sees=masses", "params.perturber_free=0", "params.perturber_share=0.5")
    module, seen = method(pretrain_config, *sets), []
    prediction = module.prediction
    monkeypatch.setattr(
        module, "prediction", lambda s, *m: seen.append((s, m[2])) or prediction(s, *m)
    )
    assert torch.isfinite(module.losses(lenses)["loss"])
    ((student, teacher),) = seen
    names = {"flux": slice(0, 1), "residual": slice(1, 2), "snr": slice(2, 4), "error": slice(4, 6)}
    shown = {name: teacher.patches[:, place] for name, place in names.items()}
    own = {name: student.patches[:, place] for name, place in names.items()}
    assert torch.equal(shown["error"], own["error"]), "the same lenses in the same symmetry"
    for name in ("residual", "snr"):
        assert shown[name][:6].flatten(1).any(1).all(), "masses"
        assert not shown[name][6:].any(), "no noise"
        assert own[name].flatten(1).any(1).all()
    # Masses and noise add, so that what the teacher lacks is the residual of the fit.
    added = torch.sinh(own["residual"]) - torch.sinh(shown["residual"])
    residual = channels_of(lenses)["residual"]
    torch.testing.assert_close(
        added.flatten(1).norm(dim=1), residual.flatten(1).norm(dim=1), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize(("teacher", "weight"), [("image", 0.0), ("image", 1.0), ("masses", 1.0)])
def test_a_predictor_may_know_the_place_in_the_source(
    pretrain_config: Any, lenses: Batch, teacher: str, weight: float
) -> None:
    sets = (f"params.teacher_sees={teacher}", f"params.perturber_weight={weight}")
    knowing = method(pretrain_config, "params.predictor_knows=source", *sets)
    loss = knowing.losses(lenses)["loss"]
    loss.backward()
    slope = knowing.predictor.from_source.weight.grad
    assert slope is not None
    assert slope.abs().sum() > 0
    assert not hasattr(method(pretrain_config, *sets).predictor, "from_source")


def test_the_given_images_are_not_changed(pretrain_config: Any, lenses: Batch) -> None:
    assert lenses.channels is not None
    before, channels = lenses.image.clone(), lenses.channels.clone()
    method(pretrain_config, "params.teacher_sees=masses").losses(lenses)
    assert torch.equal(before, lenses.image)
    assert torch.equal(channels, lenses.channels)


def test_configurations_that_cannot_work_are_refused(pretrain_config: Any) -> None:
    def check(*sets: str) -> None:
        config = pretrain_config("physics-ijepa", sets)
        PhysicsIJEPA.check(config, validate(PhysicsIJEPA.Params, config.params, "params"))

    check()
    with pytest.raises(InputError, match=r"needs encoder\.lens_fit"):
        check("encoder.lens_fit=null")
    for residual in ("none", "high-pass"):
        with pytest.raises(InputError, match=r"searches the residual of the fit: set it to false"):
            check(f"encoder.lens_fit.residual={residual}")
    none = ("encoder.lens_fit.residual=none", "encoder.lens_fit.detection=false")
    with pytest.raises(InputError, match=r"perturber_weight=0"):
        check(*none)
    check(*none, "params.perturber_weight=0", "params.teacher_sees=image")
    with pytest.raises(InputError, match="there are no masses: set teacher_sees=image"):
        check("params.teacher_sees=masses", "params.perturber_weight=0")
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
