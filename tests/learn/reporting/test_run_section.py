"""The section on a run: metrics beside their baseline, losses, facts and warnings."""

import json
from pathlib import Path
from typing import Any

import pytest

from learn.reporting.report import report
from tests.learn.reporting.conftest import (
    CLASSIFIED,
    FOUND,
    REGRESSED,
    SUPERRESOLVED,
    Page,
    finetuned,
    pretrained,
    read_report,
)


@pytest.mark.parametrize(
    ("task", "metrics", "head", "row"),
    [
        ("classify", CLASSIFIED, "radial features", ["accuracy", "0.812", "0.750"]),
        ("classify", CLASSIFIED, "radial features", ["AUC no_sub", "0.950", "0.600"]),
        ("classify", CLASSIFIED, "radial features", ["F1 cdm", "0.700", "–"]),
        ("superres", SUPERRESOLVED, "bicubic", ["psnr", "34.50 dB", "33.25 dB"]),
        ("find", FOUND, "radial features", ["completeness", "0.500", "0.500"]),
        ("regress", REGRESSED, "radial", ["theta_E", "0.01", "0.02"]),
    ],
)
def test_metrics_stand_beside_their_baseline(
    task: str, metrics: dict[str, Any], head: str, row: list[str], tmp_path: Path
) -> None:
    found = read_report(finetuned(tmp_path / "run", task, metrics))
    table = found.tables[0]
    assert table[0][1:3] == ["this run", head]
    assert row in [line[:3] for line in table]
    said = found.said
    assert f"Fine-tuning for {task} on data/model3" in said
    assert "Preset physical" in said
    assert "Seed 4" in said
    assert "encoder: none" in said, "the configuration"
    assert ["val loss", "1.25", "1"] in found.tables[1]


def test_a_pretraining_run_tells_what_was_watched_and_whether_it_collapsed(tmp_path: Path) -> None:
    found = read_report(pretrained(tmp_path / "run", ("the features span 1.2 directions",)))
    assert ["rank", "2.500"] in found.tables[0]
    assert ["train loss", "0.25", "2"] in found.tables[1]
    assert "Collapsed: the features span 1.2 directions." in found.said
    assert "Images 60" in found.said


def test_an_unfinished_run_is_called_so(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    for name in ("metrics.json", "encoder.json"):
        (run / name).unlink()
    assert "This run is not finished" in read_report(run).said


@pytest.mark.parametrize("config", [None, "other: 1\n"])
def test_an_evaluation_without_the_configuration_of_a_run_is_reported(
    config: str | None, tmp_path: Path
) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    for name in ("config.yaml", "encoder.json", "metrics.csv"):
        (run / name).unlink()
    about = {"task": "classify", "run": "runs/classify/1", "data": "data/model1"}
    (run / "evaluation.json").write_text(json.dumps(about))
    if config:
        (run / "config.yaml").write_text(config)
    found = read_report(run)
    assert "Evaluation" in found.said
    assert ["accuracy", "0.812", "0.750"] in found.tables[0]
    assert "Run runs/classify/1" in found.said


def test_a_folder_that_does_not_name_its_task_shows_its_metrics_by_name(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    (run / "config.yaml").unlink()
    found = read_report(run)
    assert "This folder does not name its task" in found.said
    assert found.tables[0][0] == ["measure", "this run"]
    assert ["radial accuracy", "0.750"] in found.tables[0]


def test_the_page_of_a_real_run(classifier: Path, tmp_path: Path) -> None:
    page = Page(report(classifier, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "accuracy" in [row[0] for row in page.tables[0]]
    assert len(page.all("img")) == len(list(classifier.glob("*.png"))) >= 3
