"""Weights that ship, as commands take them."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from astropy.table import Table

import cli
from learn import load_encoder, load_model
from learn.finetune import finetune
from learn.weights.shipped import find_encoder, find_network, find_run, list_networks, run_names
from lensphys.ground.errors import InputError
from simulate import shards


def run(line: str) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(line))
    assert not stop.value.code


def test_the_classifier_is_what_ships_by_default(installed: Path) -> None:
    assert list_networks() == ["classify", "regress"]
    assert find_run("default") == installed / "classify"
    assert find_run("default", "regress") == installed / "regress"
    assert find_run("runs/mine") == Path("runs/mine")
    assert find_encoder() == installed / "encoder"
    assert load_encoder("default").folder == installed / "encoder"
    with pytest.raises(InputError, match="default has no finished encoder"):
        load_encoder(Path("default"))
    assert load_model("default", "regress").task.config.task == "regress"
    with pytest.raises(InputError, match=r"no network 'regres' ships .did you mean 'regress'"):
        find_network("regres")
    with pytest.raises(InputError, match="--task find chooses one of the networks that ship"):
        find_run("runs/mine", "find")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    "line",
    [
        "predict default image.fits",
        "predict default image.fits --task find",
        "embed default image.fits",
    ],
)
def test_a_package_without_weights_names_the_commands_that_train(refused: Any, line: str) -> None:
    assert run_names() == ["RUN"]
    answer = refused(line)
    assert "no weights ship with this version; train an encoder with `python cli.py pret" in answer
    assert "`python cli.py finetune --task classify`" in answer


def test_the_help_offers_what_there_is(
    packed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for folder, offered in ((packed / "none", False), (packed, True)):
        monkeypatch.setattr("learn.weights.shipped.FOLDER", folder)
        for command in ("predict", "embed", "finetune"):
            run(f"{command} --help")
            text = capsys.readouterr().out
            assert ("what ships with the package" in text) == offered
            if command == "predict":
                assert ("classify or regress" in text) == ("--task" in text) == offered


def test_commands_use_what_ships(
    installed: Path,
    probe: Path,
    model2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    finetune_config: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    images = shards.read(model2).image[:4]
    np.save("images.npy", images)
    run("predict default images.npy --pixel-scale 0.101 --device cpu")
    assert "it cannot know the dark matter of a real lens" in capsys.readouterr().err
    table = Table.read("predictions.csv")
    expected = load_model(probe)(images).numpy()
    np.testing.assert_allclose(table["p_cdm"], expected[:, 1], atol=2e-3)
    run("predict default images.npy --task regress --out b.csv --pixel-scale 0.101 --device cpu")
    assert "theta_E" in Table.read("b.csv").colnames or len(Table.read("b.csv").colnames) > 4
    run("embed default images.npy --pixel-scale 0.101 --device cpu --out f.csv")
    found = np.array([Table.read("f.csv")[f"feature_{i}"] for i in range(24)]).T
    np.testing.assert_allclose(found, load_encoder("default").features(images), atol=1e-4)
    sets = ("optimizer.epochs=1",)
    config = finetune_config("classify", sets, data=model2, encoder="default", mode="linear")
    folder, _ = finetune(config.model_copy(update={"out": tmp_path / "run"}))
    assert "encoder: default" in (folder / "config.yaml").read_text()
    started, ships = (load_encoder(each).encoder.state_dict() for each in (folder, "default"))
    assert all(torch.equal(started[name], ships[name]) for name in ships)
