"""Files of cells: read, refused where they are damaged or of another configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from learn.compare.cell import Cell
from learn.compare.cell_files import check_pages
from learn.compare.run_tier import compare
from learn.compare.selection import Selection
from lensphys.ground.errors import InputError
from tests.learn.compare.conftest import tier
from tests.learn.reporting.conftest import (
    compared,
)


def test_cells_of_another_configuration_are_named(measured: list[Cell]) -> None:
    compare("smoke", tier(), Path("results"), Selection(("scratch",)))
    other = tier("smoke", "finetune.set.optimizer.base_lr=0.5", "finetune.epochs=3")
    first = r"scratch.*training\.optimizer\.base_lr = 0\.001, not 0\.5; choose another"
    with pytest.raises(InputError, match=first):
        compare("smoke", other, Path("results"), Selection(("scratch",)))
    compare("smoke", other, Path("elsewhere"), Selection(("scratch",)))
    (damaged, *_) = Path("results/smoke/cells").iterdir()
    damaged.write_text("{")
    with pytest.raises(InputError, match="is damaged; delete it"):
        compare("smoke", tier(), Path("results"), Selection(("scratch",)))


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {}},
        {"metrics": {"accuracy": "x", "macro_auc": 0.5}},
        {"task": "superres", "metrics": {}},
        {"seed": "first"},
        {"labels_per_class": None},
    ],
)
def test_a_damaged_cell_is_named(change: dict[str, Any], tmp_path: Path, refused: Any) -> None:
    path = compared(tmp_path / "smoke") / "cells/0_seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert f"{path.relative_to(tmp_path)} is damaged; delete it" in refused("report smoke")
    path.write_text("{")
    assert "is damaged; delete it" in refused("report smoke")


@pytest.mark.parametrize("name", ["table.md", "label_efficiency.png", "sensitivity.png"])
def test_pages_of_someone_else_are_not_replaced(tmp_path: Path, name: str) -> None:
    check_pages(tmp_path / "new")
    (tmp_path / name).write_text("of someone else")
    with pytest.raises(InputError, match=rf"{name} is there already .* --overwrite$") as refused:
        check_pages(tmp_path)
    assert "of a comparison; choose another --out" in str(refused.value)
    check_pages(tmp_path, overwrite=True)
    (tmp_path / "table.md").write_text("# Comparison, tier smoke\n")
    check_pages(tmp_path)
