"""Data sets and runs lie in folders that are named by all that they are made from."""

from learn.compare.measuring.materials import Materials
from learn.compare.plan import plan
from tests.learn.compare.conftest import tier


def materials(tmp_path):
    return Materials(tmp_path / "data", tmp_path / "runs", "0123", None, lambda line: None)


def test_another_configuration_has_another_folder(tmp_path):
    made = materials(tmp_path)
    folders = set()
    for sets in ((), ("pretrain.set.optimizer.base_lr=0.5",)):
        (cell, *_) = [c for c in plan(tier("smoke", *sets)) if c.method == "mae"]
        folders.add(made.pretraining_run(cell.pretraining).out)
    assert len(folders) == 2


def test_a_run_is_signed_with_commit_and_seconds(tmp_path):
    materials(tmp_path).sign(tmp_path, 1.5)
    assert (tmp_path / "commit.txt").read_text() == "0123\n"
    assert (tmp_path / "seconds.txt").read_text() == "1.500\n"
