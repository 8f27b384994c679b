import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.optim import AdamW

from learn.config import FinetuneConfig
from learn.finetune import finetune
from learn.lens_fits.channels import CHANNELS
from learn.methods import METHODS
from learn.methods.mae import MAE
from learn.networks.encoder import load_encoder
from learn.pretrain import pretrain
from learn.run_files import read_curves
from learn.runs import find_encoder
from learn.training.loop import Stop, half_precision_pays, resolve
from learn.training.processes import process_rank, started_by_a_launcher
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_config_curves_checkpoint_and_encoder(
    method: str, model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    config = pretrain_config(method, data=model2, out=tmp_path / "run")
    folder, made = pretrain(config)
    assert made
    present = {path.name for path in folder.iterdir()}
    wanted = {"config.yaml", "metrics.csv", "checkpoints", "encoder.safetensors", "encoder.json"}
    of_prior = {"prior.json", "prior.png"} if config.encoder.prior else set()
    assert wanted | of_prior | {"loss.png", "tensorboard"} == present
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    assert stored["optimizer"]["epochs"] == 2
    assert stored["precision"] == "32-true", "resolved"
    curves = read_curves(folder / "metrics.csv")
    assert [row["epoch"] for row in curves] == ["0", "1"]
    assert all(np.isfinite(float(row["train_loss"])) for row in curves)
    assert [row["collapsed"] != "" for row in curves] == [False, True], "the last is measured"
    channels = 1 + len(CHANNELS) if config.encoder.prior else 1
    assert load_encoder(folder)(torch.rand(1, channels, 64, 64)).isfinite().all()
    left = json.loads((folder / "encoder.json").read_text())
    assert left["method"] == method
    assert left["images"] == 48, "a fifth is held out to be watched"
    assert left["lr"] == pytest.approx(1e-3 * (16 / 2048) ** 0.5), "scaled from the batch"
    assert float(curves[0]["lr"]) <= left["lr"]
    assert 0 <= left["monitor"]["linear_probe"] <= 1, "of six images, none may be told"
    assert pretrain(config) == (folder, False), "a finished run is left alone"


def test_precision_is_chosen_by_what_is_faster(pretrain_config: Any, monkeypatch: Any) -> None:
    def chosen(width: int, device: str = "cpu") -> bool:
        config = pretrain_config("mae", (f"encoder.embed_dim={width}",))
        return half_precision_pays(config, device)

    def can(**units: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units, raising=False)

    can(amx_bf16=True)
    assert [chosen(width) for width in (24, 96, 192)] == [False, True, True]
    assert resolve(pretrain_config("mae", ("encoder.embed_dim=96",))).precision == "bf16-mixed"
    task = load_config(FinetuneConfig, shipped_config("finetune", "classify", "task"))
    assert not half_precision_pays(task, "cpu"), "a task keeps its digits"
    can(amx_bf16=False, avx2=True)
    assert not chosen(192)
    assert chosen(24, "cuda")
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not chosen(192), "torch does not tell"


def test_gradients_are_clipped_in_every_precision(
    model2: Path, tmp_path: Path, pretrain_config: Any, monkeypatch: Any
) -> None:
    norms = []

    def seen(self: AdamW, *arguments: Any, **named: Any) -> Any:
        # Lightning works out the gradients in the step, so that these are of the last one.
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        gradients = [gradient for gradient in gradients if gradient is not None]
        if gradients:
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(self, *arguments, **named)

    step, loss = AdamW.step, MAE.loss
    monkeypatch.setattr(AdamW, "step", seen)
    monkeypatch.setattr(
        MAE, "loss", lambda self, *views: {"loss": 1e4 * loss(self, *views)["loss"]}
    )
    for precision in ("32", "bf16"):
        sets = ("optimizer.epochs=1", f"precision={precision}")
        pretrain(pretrain_config("mae", sets, data=model2, out=tmp_path / precision))
    assert norms == pytest.approx(4 * [1.0], rel=1e-3)


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


@pytest.mark.parametrize(
    ("method", "precision"), [*((method, "32") for method in METHODS), ("mae", "bf16")]
)
def test_an_interrupted_run_resumes_to_the_same_weights(
    method: str,
    precision: str,
    model2: Path,
    tmp_path: Path,
    pretrain_config: Any,
    monkeypatch: Any,
) -> None:
    schedule = ("optimizer.epochs=3", "monitor.every=2", "optimizer.accumulate=2")
    sets = (*schedule, f"precision={precision}")
    whole, _ = pretrain(pretrain_config(method, sets, data=model2, out=tmp_path / "whole"))

    from learn.training import loop

    class StopError(Exception):
        pass

    class Stop(loop.Curves):
        epoch, batch = 1, 0

        def on_train_batch_start(self, trainer: Any, *arguments: Any) -> None:
            if (trainer.current_epoch, arguments[2]) == (self.epoch, self.batch):
                raise StopError

    config = pretrain_config(method, sets, data=model2, out=tmp_path / "broken")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "Curves", Stop)
        with pytest.raises(StopError):
            pretrain(config)  # between two epochs
        patched.setattr(Stop, "epoch", 2)
        patched.setattr(Stop, "batch", 1)
        with pytest.raises(StopError):
            pretrain(config)  # in the middle of one
    assert not (tmp_path / "broken/encoder.json").exists()
    broken, made = pretrain(config)
    assert made
    one, other = (load_file(run / "encoder.safetensors") for run in (whole, broken))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_curves(whole / "metrics.csv") == read_curves(broken / "metrics.csv")


def test_a_killed_run_is_found_again_by_the_same_command(
    model2: Path, tmp_path: Path, pretrain_config: Any, monkeypatch: Any
) -> None:
    command = [sys.executable, str(REPOSITORY / "cli.py"), "pretrain", "--method", "mae"]
    config = pretrain_config("mae", ("optimizer.epochs=400",), data=model2)
    values = config.model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    command += ["--config", str(tmp_path / "c.yaml")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    last = "checkpoints/last.ckpt"
    try:
        for _ in range(1200):
            if list(tmp_path.glob(f"runs/mae/*/{last}")):
                break
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
    finally:
        process.kill()
        process.communicate()
    (run,) = tmp_path.glob("runs/mae/*")
    assert not (run / "encoder.json").exists()
    monkeypatch.chdir(tmp_path)
    from learn import runs

    found = runs._unfinished(config.model_copy(update={"precision": "32-true"}), "mae", "x")
    assert found is not None
    assert found.resolve() == run.resolve()


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
    with pytest.raises(InputError, match="pretrain --method"):
        find_encoder("latest")
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


def test_a_folder_with_another_run_is_refused(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    pretrain(pretrain_config("mae", ("optimizer.epochs=1",), data=model2, out=tmp_path / "run"))
    with pytest.raises(InputError, match="seed = 0, not 1"):
        pretrain(
            pretrain_config(
                "mae", ("optimizer.epochs=1", "seed=1"), data=model2, out=tmp_path / "run"
            )
        )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("truncated", "truncated|damaged"),
        ("foreign", "another architecture"),
        ("method", "a checkpoint of DINO, not of MAE"),
    ],
)
def test_a_damaged_checkpoint_is_named(
    damage: str, message: str, model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    config = pretrain_config("mae", ("optimizer.epochs=1",), data=model2, out=tmp_path / "run")
    folder, _ = pretrain(config)
    (folder / "encoder.json").unlink()
    last = folder / "checkpoints/last.ckpt"
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:5000])
    else:
        method, sets = ("dino", ()) if damage == "method" else ("mae", ("encoder.depth=1",))
        sets = ("optimizer.epochs=1", *sets)
        other = pretrain_config(method, sets, data=model2, out=tmp_path / "other")
        pretrain(other)
        last.write_bytes((tmp_path / "other/checkpoints/last.ckpt").read_bytes())
    with pytest.raises(InputError, match=message):
        pretrain(config)


@pytest.mark.parametrize(("waited", "stops"), [(2, False), (3, True)])
def test_a_run_that_had_stopped_early_stays_stopped_when_it_is_resumed(
    waited: int, stops: bool
) -> None:
    before, after = Stop("val_loss", patience=3), Stop("val_loss", patience=3)
    before.wait_count = waited
    after.load_state_dict(before.state_dict())
    trainer: Any = SimpleNamespace(should_stop=False)
    after.on_train_start(trainer, torch.nn.Module())  # type: ignore[arg-type]
    assert trainer.should_stop == stops


@pytest.mark.parametrize(
    ("environment", "rank", "launched"),
    [
        ({}, 0, False),
        ({"LOCAL_RANK": "3"}, 3, False),
        ({"RANK": "5", "LOCAL_RANK": "1"}, 5, True),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "6"}, 6, True),
        # In a shell that Slurm gives, Lightning starts the processes itself.
        (
            {
                "SLURM_NTASKS": "1",
                "SLURM_PROCID": "0",
                "SLURM_JOB_NAME": "bash",
                "LOCAL_RANK": "2",
            },
            2,
            False,
        ),
    ],
)
def test_a_process_knows_which_of_several_it_is(
    pretrain_config: Any,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    rank: int,
    launched: bool,
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = pretrain_config("mae").model_copy(update={"devices": 4, "nodes": 2})
    assert process_rank(config) == rank
    assert started_by_a_launcher() == launched


def test_a_training_that_has_diverged_says_so(
    model2: Path, tmp_path: Path, finetune_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(module: Any, rows: Any, memory: Any) -> torch.Tensor:
        return torch.full((len(rows), 3), torch.nan)

    monkeypatch.setattr("learn.finetune.predicted", nothing)
    with pytest.raises(InputError, match="has diverged"):
        finetune(finetune_config("classify", data=model2, out=tmp_path / "run"))
