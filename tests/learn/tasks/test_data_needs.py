"""Data that the tasks need."""

from pathlib import Path

import pytest

from learn.tasks import TASKS, task_class, task_data_needs
from lensphys.ground.errors import InputError
from simulate import shards


def test_the_needs_beside_the_registry_are_those_of_the_tasks() -> None:
    for name in TASKS:
        assert task_data_needs(name) is task_class(name).data_needs
        assert (
            task_data_needs(name).command.split(" simulate ")[1] == task_data_needs(name).simulate
        )


def test_data_sets_serve_the_tasks_whose_labels_they_have(
    model2: Path, pairs: Path, non_lenses: Path
) -> None:
    def served(folder: Path) -> set[str]:
        config = shards.read_manifest(folder)["config"]
        return {name for name in TASKS if task_data_needs(name).serves(config)}

    assert served(model2) == {"classify", "regress"}
    assert served(pairs) == {"classify", "regress", "superres"}
    assert served(non_lenses) == {"classify", "regress", "find"}


def test_the_first_finished_data_set_that_serves_is_found(
    model2: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needs = task_data_needs("superres")
    with pytest.raises(InputError, match=r"found no data .* simulate --model 1 --pairs 2"):
        needs.find()
    Path("data").mkdir()
    Path(needs.places[0]).symlink_to(model2)  # without pairs
    with pytest.raises(InputError, match="found no data"):
        needs.find()
    Path(needs.places[2]).symlink_to(pairs)
    assert needs.find() == Path(needs.places[2])
