"""Damaged files of a run are named."""

from pathlib import Path
from typing import Any

import pytest

from tests.learn.reporting.conftest import (
    CLASSIFIED,
    finetuned,
)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("metrics.json", "metrics.json is damaged; delete it and run the finetune command again"),
        ("encoder.json", "encoder.json is damaged"),
        ("config.yaml", "config.yaml"),
        ("metrics.csv", "metrics.csv is damaged"),
        ("loss.png", "loss.png is damaged"),
    ],
)
def test_a_damaged_file_is_named(spoil: str, message: str, tmp_path: Path, refused: Any) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    content = (run / spoil).read_bytes()
    spoilt = {"metrics.csv": b"epoch,train_loss\nx,y\n", "loss.png": content[:-30]}
    (run / spoil).write_bytes(spoilt.get(spoil, b"{]"))
    assert message in refused("report run")
    assert message in refused("report .")


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        {},
        {"accuracy": "0.9"},
        {"accuracy": 0.9, "auc": {"cdm": "x"}},
        {"mae": 3},
        {"completeness": 1.0},
    ],
)
def test_metrics_of_another_kind_are_damaged_too(
    metrics: Any, tmp_path: Path, refused: Any
) -> None:
    finetuned(tmp_path / "run", "classify", metrics)
    assert "metrics.json is damaged" in refused("report run")
