"""Several processes: which is which, and that two do what one does."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
import yaml
from lightly.loss import DINOLoss, IBOTPatchLoss, NTXentLoss
from torch import distributed

from learn.config import TrainingConfig
from learn.methods.moco import contrast
from learn.training.processes import (
    announce_folder,
    announced_folder,
    check_devices,
    process_rank,
    started_by_a_launcher,
)
from lensphys.ground.errors import InputError


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


REPOSITORY = Path(__file__).parents[3]


BATCH, WIDTH = 8, 6


def weights_and_views() -> tuple[torch.Tensor, torch.Tensor]:
    """A linear network (WIDTH, WIDTH), and two views of a batch (2, BATCH, WIDTH)."""
    generator = torch.Generator().manual_seed(0)
    draw = torch.randn(2 * BATCH + WIDTH, WIDTH, generator=generator)
    return draw[:WIDTH], draw[WIDTH:].view(2, BATCH, WIDTH)


def losses_and_gradients(views: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses of the methods on this process's views, with gradients as DDP would average them."""
    found = {}
    dino, ibot = DINOLoss(WIDTH, center_momentum=0.5), IBOTPatchLoss(WIDTH, center_momentum=0.5)
    hidden = torch.tensor([[[True, False]]]).expand(views.shape[1], -1, -1)  # a patch an image
    criteria = {
        "simclr": NTXentLoss(0.2, gather_distributed=True),
        "moco": lambda a, b: contrast(a, b.detach(), 0.2),
        "dino": lambda a, b: dino([a.detach(), b.detach()], [a, b]),
        "dino, centred": lambda a, b: dino([a.detach(), b.detach()], [a, b]),
        "ibot": lambda a, b: ibot(a.detach(), b, hidden),
        "ibot, centred": lambda a, b: ibot(a.detach(), b, hidden),
    }
    for name, criterion in criteria.items():
        weight = weights_and_views()[0].requires_grad_()
        loss = criterion(*(views @ weight))
        loss.backward()
        found[name], found[f"gradient of {name}"] = loss.detach(), weight.grad
    if distributed.is_initialized():
        for value in found.values():
            distributed.all_reduce(value)
            value /= distributed.get_world_size()
    return found | {"center": dino.center.flatten(), "of patches": ibot.center.value.flatten()}


def half(rank: int, rendezvous: str, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    views = weights_and_views()[1].chunk(2, dim=1)[rank]
    torch.save(losses_and_gradients(views), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    mp.spawn(half, (str(tmp_path / "rendezvous"), str(tmp_path)), nprocs=2)
    one = losses_and_gradients(weights_and_views()[1])
    for rank in range(2):
        several = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in one.items():
            torch.testing.assert_close(several[name], value, msg=f"{name} of process {rank}")


def test_one_command_trains_on_two_devices(
    model2: Path, tmp_path: Path, pretrain_config: Any
) -> None:
    sets = ("optimizer.epochs=1", "augment=false")
    config: TrainingConfig = pretrain_config("dino", sets, data=model2, devices=2)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    arguments = ["pretrain", "--method", "dino", "--config", "c.yaml"]
    command = [sys.executable, str(REPOSITORY / "cli.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1, "the first process alone reports"
    (run,) = (tmp_path / "runs/dino").iterdir()
    with (run / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "3", "48 images in batches of 16, over both"
    assert (run / "encoder.safetensors").is_file()


def test_processes_that_are_started_side_by_side_need_a_common_folder(
    pretrain_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    config = pretrain_config("mae").model_copy(update={"devices": 2})
    check_devices(config)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(InputError, match="need --out"):
        check_devices(config)
    check_devices(config.model_copy(update={"out": tmp_path}))


def test_other_processes_find_the_folder_of_the_first(
    pretrain_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENSPHYS_RUN_FOLDER", "")
    config = pretrain_config("mae")
    announce_folder(Path("run"))
    assert announced_folder(config) == tmp_path.resolve() / "run"
    assert announced_folder(config.model_copy(update={"out": Path("given")})) == Path("given")
