"""Run folders."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from learn import runs
from learn.pretrain import pretrain
from learn.runs import find_encoder, identity, run_folder
from lensphys.ground.errors import InputError
from simulate.shards import read

REPOSITORY = Path(__file__).parents[2]


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
    resolved, digest = (
        config.model_copy(update={"precision": "32-true", "published_split": False}),
        read(model2).digest,
    )
    found = runs._find_unfinished(resolved, "mae", "x", digest)
    assert found is not None
    assert found.resolve() == run.resolve()


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


def test_without_a_pretrained_encoder_the_latest_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="pretrain --method"):
        find_encoder("latest")
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_the_latest_encoder_is_the_newest_finished_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("mae/b", "dino/a", "mae/c")):
        path = tmp_path / "runs" / name / "encoder.json"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, ns=(number, number))
    (tmp_path / "runs/mae/d").mkdir()  # not finished
    assert find_encoder("latest") == Path("runs/mae/c")
    assert find_encoder("elsewhere") == Path("elsewhere")


def test_runs_of_one_configuration_are_resumed_until_they_are_finished(
    tmp_path: Path, pretrain_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = pretrain_config("mae")
    with run_folder(config, "mae", "done", "one") as (first, finished):
        assert not finished
        assert yaml.safe_load((first / "config.yaml").read_text())["method"] == "mae"
    with run_folder(config, "mae", "done", "one") as (again, finished):
        assert (again, finished) == (first, False)
        (first / "done").touch()
    with run_folder(config, "mae", "done", "one") as (second, finished):
        assert second != first
        assert not finished
    named = config.model_copy(update={"out": first})
    assert identity(named) == identity(config), "a run does not depend on its place"
    with run_folder(named, "mae", "done", "one") as (found, finished):
        assert (found, finished) == (first, True)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, pretrain_config: Any) -> None:
    (tmp_path / "notes.txt").touch()
    config = pretrain_config("mae", out=tmp_path)
    with (
        pytest.raises(InputError, match="holds other files"),
        run_folder(config, "mae", "done", "one"),
    ):
        pass


def test_a_run_goes_on_with_the_images_that_it_was_begun_on_and_no_others(
    tmp_path: Path, pretrain_config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = pretrain_config("mae")
    with run_folder(config, "mae", "done", "one") as (first, _):
        pass
    with run_folder(config, "mae", "done", "other") as (second, _):
        assert second != first, "the images have changed"
    named = config.model_copy(update={"out": first})
    with (
        pytest.raises(InputError, match="was begun on other images"),
        run_folder(named, "mae", "done", "other"),
    ):
        pass
    with run_folder(named, "mae", "done", "one") as (again, _):
        assert again == first


def test_a_run_of_an_earlier_version_states_no_images_and_still_goes_on(
    tmp_path: Path, pretrain_config: Any
) -> None:
    config = pretrain_config("mae", out=tmp_path / "run")
    for digest in (None, None, "one", "one"):
        with run_folder(config, "mae", "done", digest) as (folder, finished):
            assert (folder, finished) == (tmp_path / "run", False)


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path, pretrain_config: Any) -> None:
    config = pretrain_config("mae", data=tmp_path, out=tmp_path / "caf\udce9")
    with (
        pytest.raises(InputError, match="is no UTF-8 text; choose another --out"),
        run_folder(config, "mae", "encoder.json", None),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_link_to_itself_is_refused(tmp_path: Path, pretrain_config: Any) -> None:
    (tmp_path / "loop").symlink_to("loop")
    config = pretrain_config("mae", data=tmp_path, out=tmp_path / "loop")
    with (
        pytest.raises(InputError, match=r"cannot write to .*loop.*; choose another --out"),
        run_folder(config, "mae", "encoder.json", None),
    ):
        pass
