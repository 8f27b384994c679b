"""Cells are measured by the real program, and made once."""

import struct
from pathlib import Path

import numpy as np
import pytest

from learn.compare.measuring.sensitivity import COLUMNS
from learn.compare.run_tier import compare
from learn.compare.selection import Selection
from tests.learn.compare.conftest import CONTRACT, files, tier


def test_the_smoke_tier_fills_a_table_from_real_cells_and_makes_nothing_twice() -> None:
    config = tier("smoke", "finetune.linear.models=[3]")
    single = ("scratch", "mae:no-sub-superres")  # what takes longest, with one seed
    compare("smoke", config, Path("results"), Selection(single, ("published",), (0,)))
    wanted = Selection(("radial", "untrained", "mae"), ("published",), (0, 1))
    outcome = compare("smoke", config, Path("results"), wanted)
    assert outcome.missing == ()
    cells = files()
    assert len(cells) == 2 + 2 * (1 + 1 + 2)
    for cell in cells.values():
        assert set(cell) == CONTRACT
        assert cell["seconds"] > 0
        if cell["task"] == "classify":
            assert 0 <= cell["metrics"]["accuracy"] <= 1
            assert np.sum(cell["metrics"]["confusion"]) == 18, "a fifth is the test"
    assert {cell["method"] for cell in cells.values()} == {*single, "radial", "untrained", "mae"}

    page = (outcome.folder / "table.md").read_text()
    assert "## Preset published: Model 2 to Model 3" in page
    for row in ("radial", "untrained", "scratch", "mae"):
        assert f"| {row} |" in page
    assert "| psnr | 34.1 |" in page
    picture = (outcome.folder / "label_efficiency.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert min(width, height) > 400

    runs = sorted(path.name for path in Path("runs/compare/smoke").glob("pretrain-*"))
    assert len(runs) == 3, "mae by two seeds, for probe and fine-tuning; and one of no_sub alone"
    assert not list(Path("runs").rglob("published_*/checkpoints")), "finished runs keep none"

    # A lost cell is run again, alone, to the same numbers.
    name = "published_mae_2-3_classify_linear_10_seed1.json"
    (outcome.folder / "cells" / name).unlink()
    again = compare("smoke", config, Path("results"), wanted)
    assert again.begun_with == again.asked - 1
    assert files()[name]["metrics"] == cells[name]["metrics"]


def test_rows_that_see_lens_fits_are_measured_like_the_others() -> None:
    config = tier("smoke", "finetune.linear.models=[3]", "finetune.wider.full.models=[3]")
    networks = ("untrained:lens-fit", "scratch:lens-fit", "physics-ijepa")
    rows = ("detection-statistics", "lens-fit", *networks)
    outcome = compare("smoke", config, Path("results"), Selection(rows, ("physical",), (0,)))
    assert outcome.missing == ()
    cells = files()
    assert len(cells) == len(rows) + 1, "the network of physics-ijepa is also trained whole"
    for cell in cells.values():
        assert 0 <= cell["metrics"]["accuracy"] <= 1
        seen = cell["metrics"]["sensitivity"]
        assert set(seen) == set(COLUMNS)
        assert 0 < sum(seen["perturbation_snr"]["count"]) <= 12, "a fifth, without no_sub"
        assert sum(seen["heaviest_subhalo_mass"]["count"]) == 6, "cdm alone"
        for counts in seen.values():
            assert 0 <= sum(counts["detected"]) <= sum(counts["count"])
        pretrained = cell["method"] == "physics-ijepa"
        assert (cell["encoder_seconds"] is not None) == pretrained
        assert cell["encoder_precision"] == ("32-true" if pretrained else None)
        beside = {"detection_accuracy", "radial_accuracy"} & set(cell["metrics"])
        assert len(beside) == (2 if cell["mode"] == "full" else 0), "of a network of its own"
    assert len(list(Path("data/compare/smoke").glob("model3-*/lens-fits-*"))) == 1
    assert (outcome.folder / "sensitivity.png").is_file()


def test_a_cell_that_is_measured_again_says_by_what_code_its_encoder_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tier("smoke", "finetune.linear.models=[3]", "finetune.full.models=[]")
    wanted = Selection(("mae",), ("published",), (0,))
    for code in ("older", "newer"):
        monkeypatch.setattr("learn.compare.run_tier.read_commit", lambda code=code: code)
        compare("smoke", config, Path(code), wanted)
    cells = files(Path("newer"))
    assert {(cell["commit"], cell["encoder_commit"]) for cell in cells.values()} == {
        ("newer", "older")
    }
    assert "code newer, older." in Path("newer/smoke/table.md").read_text()
