import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from learn.config import EncoderConfig, PretrainConfig, PriorConfig
from learn.data import Stretch
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.inference.export import export, write_onnx
from learn.inference.model import load_model
from learn.lens_fits.channels import high_passed, network_input
from learn.lens_fits.detection import detection_map
from learn.lens_fits.store import lens_prior
from learn.methods.mae import MAE
from learn.methods.physics_ijepa import PhysicsIJEPA
from learn.networks.encoder import Encoder, asinh
from learn.pretrain import pretrain
from learn.views.masking import random_blocks
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate.presets import load_simulate_config
from simulate.run import simulate
from simulate.shards import read

TINY = {"image_size": 64, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 3}
#: Beyond the defaults: more that an encoder is shown, and target blocks where the light is.
ALL_PARTS = (
    "encoder.prior.response=true",
    "encoder.prior.source_plane=true",
    "params.lens_masking=true",
)


def stack(count: int = 4, side: int = 64) -> torch.Tensor:
    return torch.randn(count, 7, side, side)


def encoder(**prior: Any) -> Encoder:
    given = {"steps": 50, "residual": "fit", "response": True, "source_plane": True} | prior
    return Encoder(EncoderConfig(**TINY, prior=PriorConfig(**given))).eval()


@pytest.mark.parametrize(
    ("channels", "switch"),
    [
        (slice(1, 2), {"residual": "none"}),
        (slice(2, 4), {"response": False}),
        (slice(4, 6), {"source_plane": False}),
    ],
)
def test_an_encoder_sees_what_it_is_given_and_nothing_else(
    channels: slice, switch: dict[str, Any]
) -> None:
    images = stack()
    changed = images.clone()
    changed[:, channels] += 1.0
    whole, blind = encoder(), encoder(**switch)
    assert not torch.allclose(whole(images), whole(changed))
    assert torch.equal(blind(images), blind(changed))


def test_an_encoder_sees_where_a_mass_would_explain_the_residual() -> None:
    images = stack()
    blind = {"residual": "high-pass", "response": False, "source_plane": False}
    seen = encoder(**blind, detection=True).seen(images)
    assert seen.patches.shape == (4, 3, 64, 64)
    expected = asinh(detection_map(images[:, 1:2], images[:, 2:4]))
    torch.testing.assert_close(seen.patches[:, 2:], expected)


def test_passes_of_an_encoder_and_of_its_teacher_share_what_they_see() -> None:
    student, teacher, images = encoder(), encoder(), stack()
    seen, keep = student.seen(images), torch.tensor([[0, 5, 9]] * 4)
    assert torch.equal(student(seen, keep), student(images, keep))
    assert torch.equal(teacher(seen), teacher(images))
    assert torch.equal(teacher.features(seen.first(2)), teacher.features(images[:2]))


@pytest.mark.parametrize("gradient", [False, True])
def test_the_inverse_hyperbolic_sine_is_exact(gradient: bool) -> None:
    x = torch.logspace(-30, 4.8, 3000).repeat(2)
    x[3000:] *= -1
    x = torch.cat([x, torch.zeros(1)]).requires_grad_(gradient)
    expected = torch.asinh(x.detach().double())
    torch.testing.assert_close(asinh(x).detach().double(), expected, rtol=3e-7, atol=0)


def test_one_encoder_serves_images_of_another_size() -> None:
    assert encoder()(stack(2, 150)).shape == (2, 100, 24)


def test_patches_of_one_place_in_the_source_plane_know_of_each_other() -> None:
    model, images = encoder(), torch.zeros(1, 7, 64, 64)
    images[:, 4:6] = 3.0
    images[:, 4:6, :16, :16] = images[:, 4:6, 48:, 48:] = 0.5
    with torch.no_grad():
        places = model.source_plane(model._source_positions(images))[0]
    torch.testing.assert_close(places[0], places[15])
    assert not torch.allclose(places[0], places[1])


def test_target_blocks_lie_where_the_light_is() -> None:
    light = torch.zeros(300, 8, 8)
    light[:, 5:, :3] = 1.0
    blocks = random_blocks(300, 8, (0.1, 0.1), (1.0, 1.0), light).view(300, 8, 8)
    held = (blocks * light).sum((1, 2)) / blocks.sum((1, 2))
    assert held.min() > 0
    assert held.mean() > 0.5
    anywhere = random_blocks(300, 8, (0.1, 0.1), (1.0, 1.0), torch.zeros(300, 8, 8))
    assert anywhere.view(300, 64).any(0).all(), "in the dark all places are alike"


@pytest.fixture(scope="module")
def lenses(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    folder = tmp_path_factory.mktemp("physical") / "data"
    config = load_simulate_config(2, "physical", n=12, workers=1, out=folder, device="cpu")
    data = read(simulate(config)[0])
    prior = PriorConfig(steps=50, residual="fit", response=True, source_plane=True)
    channels = torch.from_numpy(lens_prior(data, prior).channels[:])
    return network_input(torch.from_numpy(data.image), channels)


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
    """Whether there are any is known after a few steps, better than by chance."""
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
    """What is put into the flux is what a fit of the changed image would leave."""
    module = method(pretrain_config)
    change = torch.randn(12, 1, 64, 64)
    before = module.stretch(lenses)
    after = module._with(before, change)
    added = module.stretch.undone(after) - lenses[:, :1]
    torch.testing.assert_close(added, change * lenses[:, 6:], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(after[:, 1:2], lenses[:, 1:2] + change)
    assert torch.equal(after[:, 2:], lenses[:, 2:])
    control = method(pretrain_config, "encoder.prior.residual=high-pass")._with(before, change)
    sigma = lenses[:, 6:]
    expected = lenses[:, 1:2] + high_passed(change * sigma) / sigma
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
    """The rest is predicted as it is, and asked for nothing."""
    sets = f"params.perturber_share={share}", "params.perturber_free=0"
    module = method(pretrain_config, *sets)
    asked, predicted = [], []
    features, prediction = module.encoder.features, module.prediction
    monkeypatch.setattr(module.encoder, "features", lambda s: asked.append(s) or features(s))
    monkeypatch.setattr(
        module, "prediction", lambda s, *m: predicted.append(s) or prediction(s, *m)
    )
    module.loss(lenses)
    before, after = module.encoder.seen(lenses).patches, predicted[0].patches
    assert torch.equal(asked[0].patches, after[:changed])
    assert (before != after).flatten(1).any(1).tolist() == [True] * changed + [False] * (
        12 - changed
    )


def test_it_does_not_change_the_images_it_is_given(
    pretrain_config: Any, lenses: torch.Tensor
) -> None:
    before = lenses.clone()
    method(pretrain_config).loss(lenses)
    assert torch.equal(before, lenses)


def test_what_it_cannot_work_with_is_refused(pretrain_config: Any) -> None:
    def check(*sets: str) -> None:
        config = pretrain_config("physics-ijepa", sets)
        PhysicsIJEPA.check(config, PhysicsIJEPA.Params(**config.params))

    check()
    with pytest.raises(InputError, match=r"needs encoder\.prior"):
        check("encoder.prior=null")
    with pytest.raises(InputError, match=r"detection searches the residual: set it to false"):
        check("encoder.prior.residual=none")
    none = ("encoder.prior.residual=none", "encoder.prior.detection=false")
    with pytest.raises(InputError, match=r"perturber_weight=0"):
        check(*none)
    check(*none, "params.perturber_weight=0")
    prior = "{steps: 5, residual: fit, response: true, source_plane: true}"
    config = pretrain_config("mae", (f"encoder.prior={prior}", "jitter.shift=0"))
    with pytest.raises(InputError, match=r"mae sees images alone; set encoder\.prior=null"):
        MAE.check(config, MAE.Params(**config.params))
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


def test_a_run_leaves_its_prior_in_numbers_and_a_picture(pretrained: Path) -> None:
    for name in ("prior.json", "prior.png", "encoder.safetensors"):
        assert (pretrained / name).is_file()


@pytest.mark.parametrize("task", ["classify", "regress", "superres"])
def test_its_encoder_serves_the_tasks(
    task: str, pretrained: Path, pairs: Path, tmp_path: Path, finetune_config: Any
) -> None:
    """From training to the use of the weights on images of nobody's data set."""
    small = {"superres": ("params.width=4", "params.blocks=1")}.get(task, ())
    config = finetune_config(task, small, data=pairs, encoder=str(pretrained), out=tmp_path / "run")
    run, _ = finetune(config)
    told = json.loads((run / "metrics.json").read_text())
    assert evaluate(run).metrics == told
    data, model = read(pairs), load_model(run)
    with h5py.File(run / "predictions.h5") as file:
        rows, wanted = file["index"][()], file["prediction"][()]
    column = data.image_lr if task == "superres" else data.image
    with torch.inference_mode():
        found = model(column[rows]).numpy()
    found = found[:, 0] if task == "regress" else found  # the means, not the errors
    difference = np.abs(found - wanted).reshape(len(rows), -1).max(1)
    assert np.median(difference) < 1e-3 * np.abs(wanted).max(), "fits of other batches round anew"
    with pytest.raises(InputError, match="ONNX cannot"):
        write_onnx(model, tmp_path / "model.onnx")
    with pytest.raises(InputError, match="ONNX cannot"):
        export(run, tmp_path / "exported", onnx=True)
    assert not (tmp_path / "exported").exists(), "nothing half done is left"
