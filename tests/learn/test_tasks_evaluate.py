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
from learn.tasks import TASKS
from lensphys.ground.errors import InputError
from simulate import shards
from tests.learn.conftest import simulated

ONE_EPOCH = ("optimizer.epochs=1",)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def trained(runs: Path, model2: Path, pairs: Path, finetune_config: Any) -> Any:
    """A finished run of a task, made when first asked for."""

    def run(task: str, *sets: str, **overrides: Any) -> Path:
        data = pairs if task == "superres" else model2
        config = finetune_config(
            task, (*ONE_EPOCH, *sets), **{"data": data, "out": runs / task} | overrides
        )
        return finetune(config)[0]

    return run


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that no run here is trained on."""
    return simulated(tmp_path_factory.mktemp("others") / "data", 2, 48, seed=7, pairs=2)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def metrics_of(run: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("task", ["classify", "regress", "superres"])
def test_a_run_is_reproduced_from_its_weights_and_configuration_alone(
    trained: Any, tmp_path: Path, task: str
) -> None:
    run, copy = trained(task), tmp_path / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "config.yaml"):
        shutil.copy(run / name, copy)
    before = contents(tmp_path)
    assert evaluate(copy).metrics == metrics_of(run)
    assert contents(tmp_path) == before, "nothing is written"


def test_a_run_with_a_backbone_and_a_budget_is_reproduced(trained: Any, tmp_path: Path) -> None:
    run = trained(
        "classify", backbone="resnet10t", labels_per_class=10, seed=3, out=tmp_path / "run"
    )
    assert evaluate(run).metrics == metrics_of(run)


def test_another_data_set_is_tested_on_all_its_images(
    trained: Any, others: Path, tmp_path: Path
) -> None:
    run = trained("classify")
    before, out = contents(run), tmp_path / "out"
    result = evaluate(run, others, out)
    assert np.sum(result.metrics["confusion"]) == len(result.rows) == 48
    assert contents(run) == before, "nothing of the run changes"
    assert metrics_of(out) == result.metrics
    names = {"metrics.json", "predictions.h5", "roc.png", "confusion.png"}
    assert {path.name for path in out.iterdir()} == names
    with h5py.File(out / "predictions.h5") as file:
        assert file["index"][()].tolist() == list(range(48))
    with pytest.raises(InputError, match="folder of a run"):
        evaluate(run, others, trained("regress"))


def test_the_data_of_the_run_are_its_test_images_wherever_they_lie(
    trained: Any, model2: Path, tmp_path: Path
) -> None:
    run = trained("classify")
    assert evaluate(run, model2 / ".").metrics == metrics_of(run)
    moved = shutil.copytree(model2, tmp_path / "moved")
    assert evaluate(run, moved).metrics == metrics_of(run)


def test_more_of_the_images_that_a_run_was_trained_on_are_refused(
    trained: Any, pairs: Path
) -> None:
    with pytest.raises(InputError, match=r"n = 48, not 60: it was trained on some"):
        evaluate(trained("classify"), pairs)


def test_other_images_in_the_place_of_the_data_must_be_named(
    trained: Any, others: Path, tmp_path: Path, model2: Path
) -> None:
    place = shutil.copytree(model2, tmp_path / "data")
    run = trained("classify", data=place, out=tmp_path / "run")
    shutil.rmtree(place)
    shutil.copytree(others, place)
    with pytest.raises(InputError, match="not the data set any more"):
        evaluate(run)
    assert len(evaluate(run, place).rows) == 48


def test_weights_carry_the_scales_to_a_data_set_in_which_a_column_is_unknown(
    trained: Any, model2: Path, tmp_path: Path
) -> None:
    data = changed(model2, tmp_path / "data", lambda file: fill(file, "log10_axion_mass", np.nan))
    metrics = evaluate(trained("regress"), data).metrics
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
    trained: Any, model2: Path, tmp_path: Path, task: str, change: Any, message: str
) -> None:
    def edit(file: h5py.File) -> None:
        if change is None:
            del file["params"]["source_center_x"]
        else:
            file.attrs[change[0]] = change[1]

    run, data = trained(task), changed(model2, tmp_path / "data", edit)
    with pytest.raises(InputError, match=message):
        evaluate(run, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_without_a_finished_run_are_refused(
    trained: Any, model2: Path, tmp_path: Path
) -> None:
    for folder in (tmp_path, model2):
        with pytest.raises(InputError, match=r"make one with `python cli.py finetune`"):
            evaluate(folder)
    shutil.copy(trained("classify") / "config.yaml", tmp_path)
    with pytest.raises(InputError, match="run its finetune command again"):
        evaluate(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        evaluate(tmp_path)


def test_evaluate_on_the_command_line(
    trained: Any, others: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = trained("regress")
    call(f"evaluate {run} --data {others} --out {tmp_path}/out")
    out = capsys.readouterr().out
    assert f"{run} on 48 of 48 images of {others}" in " ".join(out.split())
    assert "source_center_x" in out
    assert f"picture: {tmp_path}/out/calibration.png" in out
    assert call(f"evaluate {run} --data {tmp_path}") == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} is not a data set")
    assert call("evaluate --help") == 0
    assert "Example: python cli.py evaluate" in capsys.readouterr().out


def test_the_help_of_finetune_lists_every_task(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert call("finetune --help") == 0
    out = capsys.readouterr().out
    assert all(f"{task}:" in out for task in TASKS)


def call(line: str) -> int:
    try:
        cli.main(shlex.split(line))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_the_weights_say_what_they_are_of(trained: Any, model2: Path) -> None:
    """Without the data set, the configuration and the header tell all that a user needs."""
    from safetensors import safe_open

    with safe_open(trained("classify") / "model.safetensors", "pt") as file:
        header = json.loads(file.metadata()["lensphys"])
    attrs = shards.read(model2).attrs
    assert header["must_match"]["label_names"] == attrs["label_names"]
    assert header["must_match"]["pixel_scale"] == attrs["pixel_scale"]
    assert header["encoder"]["embed_dim"] == 24
