"""Tests of trained tasks, on their own images and on others."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cli
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import simulated


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that no run here is trained on."""
    return simulated(tmp_path_factory.mktemp("others") / "data", 2, 48, seed=7, pairs=2)


@pytest.fixture
def runs(classifier: Path, regressor: Path, superresolver: Path) -> dict[str, Path]:
    """A finished run of each task."""
    return {"classify": classifier, "regress": regressor, "superres": superresolver}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics_of(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("task", ["classify", "regress", "superres"])
def test_a_run_is_reproduced_from_its_weights_and_configuration_alone(
    runs: dict[str, Path], tmp_path: Path, task: str
) -> None:
    run, copy = runs[task], tmp_path / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "config.yaml"):
        shutil.copy(run / name, copy)
    before = contents(tmp_path)
    assert evaluate(copy).metrics == metrics_of(run)
    assert contents(tmp_path) == before, "nothing is written"


def test_a_run_with_a_backbone_and_a_budget_is_reproduced(
    model2: Path, tmp_path: Path, finetune_config: Any
) -> None:
    options = {"backbone": "resnet10t", "labels_per_class": 10, "seed": 3}
    sets = ("optimizer.epochs=1",)
    run, _ = finetune(
        finetune_config("classify", sets, data=model2, out=tmp_path / "run", **options)
    )
    assert evaluate(run).metrics == metrics_of(run)


def test_another_data_set_is_tested_on_all_its_images(
    classifier: Path, regressor: Path, others: Path, tmp_path: Path
) -> None:
    run = classifier
    before, out = contents(run), tmp_path / "out"
    result = evaluate(run, others, out)
    assert np.sum(result.metrics["confusion"]) == len(result.rows) == 48
    assert contents(run) == before, "nothing of the run changes"
    assert metrics_of(out) == result.metrics
    names = {"metrics.json", "predictions.h5", "roc.png", "confusion.png", "evaluation.json"}
    assert {path.name for path in out.iterdir()} == names
    about = {"task": "classify", "run": str(run), "data": str(others)}
    assert json.loads((out / "evaluation.json").read_text()) == about
    with h5py.File(out / "predictions.h5") as file:
        assert file["index"][()].tolist() == list(range(48))
    with pytest.raises(InputError, match="folder of a run"):
        evaluate(run, others, regressor)


def test_the_data_of_the_run_are_its_test_images_wherever_they_lie(
    classifier: Path, model2: Path, tmp_path: Path
) -> None:
    run = classifier
    assert evaluate(run, model2 / ".").metrics == metrics_of(run)
    moved = shutil.copytree(model2, tmp_path / "moved")
    assert evaluate(run, moved).metrics == metrics_of(run)


def test_more_of_the_images_that_a_run_was_trained_on_are_refused(
    classifier: Path, pairs: Path
) -> None:
    with pytest.raises(InputError, match=r"n = 48, not 60: it was trained on some"):
        evaluate(classifier, pairs)


def test_other_images_in_the_place_of_the_data_must_be_named(
    others: Path, tmp_path: Path, model2: Path, finetune_config: Any
) -> None:
    place = shutil.copytree(model2, tmp_path / "data")
    sets = ("optimizer.epochs=1",)
    run, _ = finetune(finetune_config("classify", sets, data=place, out=tmp_path / "run"))
    shutil.rmtree(place)
    shutil.copytree(others, place)
    with pytest.raises(InputError, match="not the data set any more"):
        evaluate(run)
    assert len(evaluate(run, place).rows) == 48


def test_weights_carry_the_scales_to_a_data_set_in_which_a_column_is_unknown(
    regressor: Path, model2: Path, tmp_path: Path
) -> None:
    data = changed(model2, tmp_path / "data", lambda file: fill(file, "log10_axion_mass", np.nan))
    metrics = evaluate(regressor, data).metrics
    assert list(metrics["mae"]) == ["source_center_x", "source_center_y"]
    assert metrics["images"]["source_center_x"] == 6
    assert metrics["images"]["log10_axion_mass"] == 0


def fill(file: h5py.File, column: str, value: float) -> None:
    file["params"][column][...] = value


def changed(source: Path, folder: Path, change: Any) -> Path:
    """A copy of a data set with something changed in its shard."""
    shutil.copytree(source, folder)
    (shard,) = folder.glob("shard-*.h5")
    with h5py.File(shard, "r+") as file:
        change(file)
    return folder


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("classify", ("pixel_scale", 0.2), r"pixel_scale = 0.2, the data of .* had 0.101"),
        ("classify", ("label_names", ["a", "b", "c"]), "label_names = a, b, c, .* no_sub, cdm"),
        ("regress", ("unit", "ADU"), "unit = ADU, the data of .* had 2 e-/s"),
        ("regress", None, "no column source_center_x"),
    ],
)
def test_data_that_do_not_fit_are_refused(
    runs: dict[str, Path],
    model2: Path,
    tmp_path: Path,
    task: str,
    change: Any,
    message: str,
) -> None:
    def edit(file: h5py.File) -> None:
        if change is None:
            del file["params"]["source_center_x"]
        else:
            file.attrs[change[0]] = change[1]

    run, data = runs[task], changed(model2, tmp_path / "data", edit)
    if change is not None and change[0] == "label_names":
        manifest = json.loads((data / "manifest.json").read_text()) | {"label_names": change[1]}
        (data / "manifest.json").write_text(shards.manifest_text(manifest))
    with pytest.raises(InputError, match=message):
        evaluate(run, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_without_a_finished_run_are_refused(
    classifier: Path, model2: Path, tmp_path: Path
) -> None:
    for folder in (tmp_path, model2):
        with pytest.raises(InputError, match=r"make one with `python cli.py finetune`"):
            evaluate(folder)
    shutil.copy(classifier / "config.yaml", tmp_path)
    with pytest.raises(InputError, match="run its finetune command again"):
        evaluate(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        evaluate(tmp_path)


def test_evaluate_on_the_command_line(
    regressor: Path, others: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = regressor
    call(f"evaluate {run} --data {others} --out {tmp_path}/out")
    out = capsys.readouterr().out
    assert f"{run} on 48 of 48 images of {others}" in " ".join(out.split())
    assert "source_center_x" in out
    assert f"picture: {tmp_path}/out/calibration.png" in out
    assert call(f"evaluate {run} --data {tmp_path}") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} is not a data set")
    assert call("evaluate --help") == 0
    assert "Example: python cli.py evaluate" in capsys.readouterr().out


def call(line: str) -> int:
    try:
        cli.main(shlex.split(line))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
