"""The tiers of a comparison, and a stand-in for what takes time."""

import json
from pathlib import Path
from typing import Any

import pytest

from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.measuring.materials import Materials
from lensphys.ground.config import load_config, shipped_config

CONTRACT = {
    "method",
    "preset",
    "pretrain_model",
    "finetune_model",
    "task",
    "mode",
    "labels_per_class",
    "seed",
    "metrics",
    "config",
    "commit",
    "encoder_commit",
    "device",
    "precision",
    "encoder_precision",
    "seconds",
    "encoder_seconds",
}


def tier(name: str = "smoke", *sets: str) -> CompareConfig:
    return load_config(CompareConfig, shipped_config("compare", name, "tier"), sets, device="cpu")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The measured cells, by a stand-in that takes no time: accuracy follows from the seed."""
    cells: list[Cell] = []

    def measure(cell: Cell, materials: Materials) -> dict[str, Any]:
        cells.append(cell)
        value = 0.5 + 0.1 * cell.seed
        by_class = dict.fromkeys(("no_sub", "cdm", "axion"), value)
        names = ("accuracy", "macro_auc", "mse", "psnr", "ssim")
        numbers = {p + name: value for p in ("", "radial_", "bicubic_") for name in names}
        return numbers | {"auc": by_class, "radial_auc": by_class}

    monkeypatch.setattr("learn.compare.measuring.measure.measure", measure)
    return cells


def files(out: Path = Path("results")) -> dict[str, dict[str, Any]]:
    return {p.name: json.loads(p.read_text()) for p in out.glob("*/cells/*.json")}
