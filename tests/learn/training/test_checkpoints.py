"""Checkpoints of a training run."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from learn.pretrain import pretrain
from learn.training.checkpoints import LAST, Checkpoint, WholeCheckpoints, load_checkpoint
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


def test_a_moved_run_remembers_its_best_epoch_and_nothing_outside_of_it(tmp_path: Path) -> None:
    old, new = (Checkpoint(tmp_path / name, monitor="val_loss") for name in ("old", "new"))
    for callback in (old, new):
        callback.dirpath = str(tmp_path / ("old" if callback is old else "new"))
    score = torch.tensor(0.5)
    outside = str(tmp_path / "old/../../mine.ckpt")
    old.best_model_path = old.kth_best_model_path = outside
    old.best_model_score = old.kth_value = score
    old.best_k_models = {outside: score}
    new.load_state_dict(old.state_dict())
    assert new.best_model_score == score
    assert new.best_k_models == {str(tmp_path / "new/mine.ckpt"): score}
    assert new.kth_best_model_path == new.best_model_path == str(tmp_path / "new/mine.ckpt")


def test_the_weights_of_the_best_epoch_are_loaded_or_named(tmp_path: Path) -> None:
    module, other = pl.LightningModule(), pl.LightningModule()
    module.layer, other.layer = torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)
    best = tmp_path / "best.ckpt"
    with pytest.raises(InputError, match="is missing; delete"):
        load_checkpoint(best, module)
    torch.save({"state_dict": {k: v + 1 for k, v in module.state_dict().items()}}, best)
    before = module.layer.weight.detach().clone()
    load_checkpoint(best, module)
    assert torch.equal(module.layer.weight, before + 1)
    with pytest.raises(InputError, match="truncated or damaged"):
        load_checkpoint(best, other)
    for content in (b"", b"PK\x03\x04nonsense", best.read_bytes()[:400]):
        best.write_bytes(content)
        with pytest.raises(InputError, match="truncated or damaged"):
            load_checkpoint(best, module)
