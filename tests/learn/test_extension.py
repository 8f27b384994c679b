"""A method and a task are added by one file, one YAML file and one registry line each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from learn.compare.cell import Cell
from learn.compare.measuring.materials import Materials
from learn.compare.run_tier import compare
from learn.compare.selection import Selection
from learn.finetune import finetune
from learn.inference.evaluate import evaluate
from learn.methods import METHODS
from learn.pretrain import pretrain
from learn.reporting.report import report
from learn.reporting.terminal import print_run
from learn.tasks import TASKS, task_report
from lensphys.ground import config as ground
from lensphys.ground.config import config_folder, read_yaml
from tests.learn.compare.conftest import tier
from tests.learn.reporting.conftest import Page

HERE = "tests.learn.extension"


@pytest.fixture(autouse=True)
def _extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The method ``flux`` and the task ``brightness``, each with its configuration."""
    monkeypatch.setitem(METHODS, "flux", f"{HERE}.flux:Flux")
    monkeypatch.setitem(TASKS, "brightness", f"{HERE}.brightness:Brightness")
    folder = tmp_path / "configs"
    for like, changes in (
        ("pretrain/simclr", {"method": "flux", "params": {"weight": 1.0}}),
        ("finetune/classify", {"task": "brightness", "params": {}}),
    ):
        path = folder / f"{like.partition('/')[0]}/{changes.get('method', 'brightness')}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(read_yaml(config_folder(f"{like}.yaml")) | changes))
    monkeypatch.setattr(ground, "CONFIG_PATH", [folder])


def test_a_method_is_trained_and_a_task_uses_its_encoder(
    model2: Path, tmp_path: Path, pretrain_config: Any, finetune_config: Any
) -> None:
    config = pretrain_config("flux", ("monitor.every=1",), data=model2, out=tmp_path / "encoder")
    encoder, _ = pretrain(config)
    start = {"encoder": str(encoder), "data": model2, "out": tmp_path / "run"}
    run, made = finetune(finetune_config("brightness", **start))
    assert made
    assert evaluate(run).metrics["error"] > 0


def test_the_results_of_a_task_are_shown_as_it_describes_them(
    model2: Path, tmp_path: Path, finetune_config: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    run, _ = finetune(finetune_config("brightness", data=model2, out=runs / "trained"))
    evaluate(run, out=runs / "evaluated")

    print_run(run, task_report("brightness"))
    assert "mean error of log10 flux" in " ".join(capsys.readouterr().out.split())

    for folder in (run, runs / "evaluated"):
        found = Page(report(folder).read_text(encoding="utf-8"))
        table = found.tables[0]
        assert table[0] == ["measure", "this run", "the median image"]
        assert table[1][0] == "mean error of log10 flux"
        assert all(text.endswith(" dex") for text in table[1][1:])
        alts = [img["alt"] for img in found.all("img")]
        assert "Predicted against true flux. 6 test images." in alts

    overview = Page(report(runs).read_text(encoding="utf-8")).tables[0]
    assert overview[0][-2:] == ["error in dex", "median error in dex"]


def test_a_method_has_a_row_in_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(cell: Cell, materials: Materials) -> dict[str, float]:
        return {"accuracy": 0.5, "macro_auc": 0.75}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("learn.compare.measuring.measure.measure", measure)
    config = tier("smoke", "methods.flux={params.weight: 2.0}")
    outcome = compare("smoke", config, Path("results"), Selection(("flux",), ("published",)))
    assert outcome.missing == ()
    assert "| flux | 0.500 ± 0.000 (2) |" in (outcome.folder / "table.md").read_text()
    assert (outcome.folder / "label_efficiency.png").is_file()
    tables = Page(report(outcome.folder).read_text(encoding="utf-8")).tables
    assert tables[0][1][:3] == ["flux", "Model 2", "0.500 ± 0.000 (2)"]
