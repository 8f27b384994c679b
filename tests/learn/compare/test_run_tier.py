"""Cells are written as they end, never run twice, and a table is made of them."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import cli
import learn.compare.measuring.measure
from learn.compare.cell import Cell
from learn.compare.config import CompareConfig
from learn.compare.measuring.materials import Materials
from learn.compare.plan import plan
from learn.compare.run_tier import compare
from learn.compare.selection import Selection
from lensphys.ground.config import load_config, shipped_config
from tests.learn.compare.conftest import files, tier


def test_a_finished_cell_is_not_run_again(measured: list[Cell]) -> None:
    first = compare("smoke", tier(), Path("results"), Selection(("radial", "mae")))
    assert len(measured) == first.asked == len(files())
    assert "none is missing" in first.line
    measured.clear()
    compare("smoke", tier(), Path("results"), Selection(("radial", "mae", "scratch")))
    assert {cell.method for cell in measured} == {"scratch"}


def test_an_interruption_loses_one_cell_and_leaves_a_table(
    measured: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn.compare.measuring.measure.measure

    def interrupted(cell: Cell, materials: Materials) -> dict[str, Any]:
        if len(measured) == 3:
            raise KeyboardInterrupt
        return whole(cell, materials)

    with monkeypatch.context() as patched:
        patched.setattr("learn.compare.measuring.measure.measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare("smoke", tier(), Path("results"), Selection())
    assert len(files()) == 3
    page = Path("results/smoke/table.md").read_text()
    total = len(plan(tier()))
    assert f"3 of {total} cells" in page
    assert "missing" in page
    measured.clear()
    outcome = compare("smoke", tier(), Path("results"), Selection())
    assert len(measured) == total - 3
    assert not outcome.missing


def test_no_cell_is_begun_after_the_limit(measured: list[Cell]) -> None:
    outcome = compare("smoke", tier(), Path("results"), Selection(("radial",), limit_hours=0.0))
    assert measured == []
    assert len(outcome.missing) == outcome.asked == 8
    assert "missing: radial 8; run the same command again" in outcome.line


def test_other_seeds_join_the_table(measured: list[Cell]) -> None:
    for seeds in ((0, 1), (7,)):
        compare("smoke", tier(), Path("results"), Selection(("radial",), ("published",), seeds))
    page = Path("results/smoke/table.md").read_text()
    assert "| radial | 0.767 ± 0.940 (3) |" in page, "of 0.5, 0.6 and 1.2"


def test_the_command_says_where_the_table_is(
    measured: list[Cell], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split("compare --tier smoke --only radial,mae --seeds 0"))
    assert not stop.value.code
    out = capsys.readouterr().out
    assert "table: results/smoke/table.md" in out
    assert "10 of 10 cells are finished" in out


def test_help_explains_and_gives_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    assert "Example: python cli.py compare" in capsys.readouterr().out


def test_cells_of_one_table_may_be_computed_on_several_devices(measured: list[Cell]) -> None:
    compare("smoke", tier(), Path("results"), Selection(("radial",)))
    anywhere = load_config(
        CompareConfig, shipped_config("compare", "smoke", "tier"), (), device="auto"
    )
    assert compare("smoke", anywhere, Path("results"), Selection(("radial",))).begun_with == 8
    assert {cell["device"] for cell in files().values()} == {"cpu"}
