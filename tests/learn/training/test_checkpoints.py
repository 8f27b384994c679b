"""Checkpoints of a training run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from learn.pretrain import pretrain
from learn.training.checkpoints import LAST, WholeCheckpoints
from lensphys.ground.errors import InputError


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


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = tmp_path / "checkpoints" / LAST
    WholeCheckpoints().save_checkpoint({"epoch": 1}, last)

    def fill_the_disk(checkpoint: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(InputError, match=r"No space left on device; make room and run the same"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, last)
    assert torch.load(last, weights_only=True) == {"epoch": 1}
    assert [path.name for path in last.parent.iterdir()] == [LAST]
