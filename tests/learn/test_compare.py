"""The comparison: cells are written as they end, never run twice, and a table is made of them."""

import json
import shlex
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from learn.compare.cells import Cell, plan
from learn.compare.config import CompareConfig
from learn.compare.materials import Workshop, probe
from learn.compare.run import Wanted, compare
from learn.compare.table import estimate
from learn.data import split
from learn.methods import METHODS
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError

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
    """The cells that were measured, by a stand-in that takes no time: accuracy from the seed."""
    cells: list[Cell] = []

    def measure(self: Workshop, cell: Cell) -> dict[str, Any]:
        cells.append(cell)
        value = 0.5 + 0.1 * cell.seed
        by_class = dict.fromkeys(("no_sub", "cdm", "axion"), value)
        names = ("accuracy", "macro_auc", "mse", "psnr", "ssim")
        numbers = {p + name: value for p in ("", "radial_", "bicubic_") for name in names}
        return numbers | {"auc": by_class, "radial_auc": by_class}

    monkeypatch.setattr(Workshop, "measure", measure)
    return cells


def files(out: Path = Path("results")) -> dict[str, dict[str, Any]]:
    return {p.name: json.loads(p.read_text()) for p in out.glob("*/cells/*.json")}


# The real thing.


def test_the_smoke_tier_fills_a_table_from_real_cells_and_makes_nothing_twice() -> None:
    config = tier("smoke", "finetune.linear.models=[3]")
    single = ("scratch", "mae:no-sub-superres")  # what takes longest, with one seed
    compare("smoke", config, Path("results"), Wanted(single, ("published",), (0,)))
    wanted = Wanted(("radial", "untrained", "mae"), ("published",), (0, 1))
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


def test_rows_that_see_a_lens_prior_are_measured_like_the_others() -> None:
    config = tier("smoke", "finetune.linear.models=[3]", "finetune.wider.full.models=[3]")
    rows = ("lens-fit", "untrained:lens-prior", "scratch:lens-prior", "physics-ijepa")
    outcome = compare("smoke", config, Path("results"), Wanted(rows, ("physical",), (0,)))
    assert outcome.missing == ()
    cells = files()
    assert len(cells) == len(rows) + 1, "the network of physics-ijepa is also trained whole"
    for cell in cells.values():
        assert 0 <= cell["metrics"]["accuracy"] <= 1
        seen = cell["metrics"]["sensitivity"]
        assert set(seen) == {"perturbation_snr", "substructure_fraction_ring"}
        assert 0 < sum(seen["perturbation_snr"]["count"]) <= 12, "a fifth, without no_sub"
        pretrained = cell["method"] == "physics-ijepa"
        assert (cell["encoder_seconds"] is not None) == pretrained
        assert cell["encoder_precision"] == ("32-true" if pretrained else None)
    assert len(list(Path("data/compare/smoke").glob("model3-*/lens-prior-*"))) == 1
    assert (outcome.folder / "sensitivity.png").is_file()


def test_the_configuration_of_a_cell_tells_what_its_encoder_is(measured: list[Cell]) -> None:
    prior = "ablations.methods.physics-ijepa:blind={encoder.prior.residual: high-pass}"
    config = tier("smoke", prior, "seeds=[0]")
    told = {
        c.method: c.config["pretraining"]["run"]["encoder"] for c in plan(config) if c.pretraining
    }
    assert told["physics-ijepa"]["prior"]["residual"] == "fit"
    assert told["physics-ijepa:blind"]["prior"]["residual"] == "high-pass"
    compare("smoke", config, Path("results"), Wanted(("mae",)))
    deeper = tier("smoke", "pretrain.set.encoder.depth=2")
    with pytest.raises(InputError, match=r"pretraining\.run\.encoder\.depth = 1, not 2"):
        compare("smoke", deeper, Path("results"), Wanted(("mae",)))


def test_some_rows_are_trained_whole_on_more() -> None:
    cells = [cell for cell in plan(tier()) if cell.mode == "full"]
    models: dict[tuple[str, str], set[int]] = defaultdict(set)
    for cell in cells:
        models[cell.method, cell.preset].add(cell.finetune_model)
    assert models["physics-ijepa", "physical"] == {1, 3}
    assert models["physics-ijepa", "published"] == models["mae", "physical"] == {3}


def test_a_probe_learns_from_its_budget_and_is_tested_on_unseen_images() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(300) % 3
    told = rng.normal(size=(300, 5)) + 8 * np.eye(3, 5)[label]
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.3, "seed": 0}
    names = ["no_sub", "cdm", "axion"]
    parts = split(label, names, labels_per_class=5, **fractions)

    class Labels:
        pass

    data: Any = Labels()
    data.label, data.label_names, data.params = label, names, {}
    metrics = probe(told, data, parts, (0.1, 1.0))
    assert metrics["accuracy"] == 1.0
    assert metrics["strength"] in (0.1, 1.0)
    wrong = told.copy()  # what the budget leaves out must not matter
    unused = np.setdiff1d(np.arange(300), np.concatenate([parts.train, parts.validation]))
    unused = np.setdiff1d(unused, parts.test)
    wrong[unused] = 1e6
    assert probe(wrong, data, parts, (0.1, 1.0)) == metrics


# Cells.


def test_a_finished_cell_is_not_run_again(measured: list[Cell]) -> None:
    first = compare("smoke", tier(), Path("results"), Wanted(("radial", "mae")))
    assert len(measured) == first.asked == len(files())
    assert "none is missing" in first.line
    measured.clear()
    compare("smoke", tier(), Path("results"), Wanted(("radial", "mae", "scratch")))
    assert {cell.method for cell in measured} == {"scratch"}


def test_an_interruption_loses_one_cell_and_leaves_a_table(
    measured: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Workshop.measure

    def interrupted(self: Workshop, cell: Cell) -> dict[str, Any]:
        if len(measured) == 3:
            raise KeyboardInterrupt
        return whole(self, cell)

    with monkeypatch.context() as patched:
        patched.setattr(Workshop, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare("smoke", tier(), Path("results"), Wanted())
    assert len(files()) == 3
    page = Path("results/smoke/table.md").read_text()
    assert "3 of 92 cells" in page
    assert "missing" in page
    measured.clear()
    outcome = compare("smoke", tier(), Path("results"), Wanted())
    assert len(measured) == 89
    assert not outcome.missing


def test_no_cell_is_begun_after_the_limit(measured: list[Cell]) -> None:
    outcome = compare("smoke", tier(), Path("results"), Wanted(("radial",), limit_hours=0.0))
    assert measured == []
    assert len(outcome.missing) == outcome.asked == 8
    assert "missing: radial 8; run the same command again" in outcome.line


def test_cells_of_another_configuration_are_named(measured: list[Cell]) -> None:
    compare("smoke", tier(), Path("results"), Wanted(("scratch",)))
    other = tier("smoke", "finetune.set.optimizer.base_lr=0.5", "finetune.epochs=3")
    first = r"scratch.*training\.optimizer\.base_lr = 0\.001, not 0\.5; choose another"
    with pytest.raises(InputError, match=first):
        compare("smoke", other, Path("results"), Wanted(("scratch",)))
    compare("smoke", other, Path("elsewhere"), Wanted(("scratch",)))
    (damaged, *_) = Path("results/smoke/cells").iterdir()
    damaged.write_text("{")
    with pytest.raises(InputError, match="is damaged; delete it"):
        compare("smoke", tier(), Path("results"), Wanted(("scratch",)))


def test_other_seeds_join_the_table(measured: list[Cell]) -> None:
    for seeds in ((0, 1), (7,)):
        compare("smoke", tier(), Path("results"), Wanted(("radial",), ("published",), seeds))
    page = Path("results/smoke/table.md").read_text()
    assert "| radial | 0.767 ± 0.940 (3) |" in page, "of 0.5, 0.6 and 1.2"


def test_the_interval_is_that_of_students_t() -> None:
    found = estimate([0.8, 0.9, 1.0])
    assert found.mean == pytest.approx(0.9)
    assert found.interval == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-6)
    assert str(estimate([0.5])) == "0.500 (1)"


# Tiers.


@pytest.mark.parametrize("name", ["smoke", "small", "full"])
def test_every_tier_can_be_planned_and_holds_its_baselines(name: str) -> None:
    config = tier(name)
    cells = plan(config)
    assert len({cell.name for cell in cells}) == len(cells)
    assert {"radial", "untrained", "scratch", "resnet18"} <= {cell.method for cell in cells}
    assert {cell.preset for cell in cells} == {"published", "physical"}
    assert len(config.seeds) >= (2 if name == "smoke" else 3)
    if name != "smoke":
        assert set(config.methods) >= set(METHODS) - {"physics-ijepa"}
        views = {c.pretraining.run.optimizer.epochs for c in cells if c.method == "mae"}
        assert views == {config.pretrain.views}
        lrs = {c.pretraining.run.optimizer.base_lr for c in cells if c.method in METHODS}
        if name == "small":
            assert lrs == {2e-3, 4e-3}, "each the better of two"
        else:
            assert len(lrs) == 1, "on equal terms"
    for cell in cells:
        json.dumps(cell.config)
        if cell.pretraining:
            assert cell.pretraining.data.seed != cell.data.seed, "never tested on what it has seen"


def test_an_ablation_is_one_line_of_a_tier() -> None:
    config = tier("smoke", "ablations.methods.mae:half={params.mask_ratio: 0.5}", "seeds=[3]")
    cells = [cell for cell in plan(config) if cell.pretraining]
    masks = {
        cell.method: (cell.pretraining.run.params["mask_ratio"], cell.pretraining.run.seed)
        for cell in cells
        if cell.method in ("mae", "mae:half")
    }
    assert masks == {"mae": (0.75, 3), "mae:half": (0.5, 3)}
    runs = {cell.method: cell.pretraining.run for cell in cells}
    decoders = [runs[name].params["decoder_dim"] for name in ("mae", "mae:half")]
    assert decoders == [12, 12], "the rest is that of the row"
    ablated = [cell for cell in cells if cell.method == "mae:half"]
    assert {(cell.preset, cell.mode, cell.finetune_model) for cell in ablated} == {
        ("published", "linear", 3)
    }


def test_a_baseline_may_have_a_fine_tuning_of_its_own() -> None:
    config = tier("smoke", "baselines.resnet18.optimizer.epochs=7")
    epochs = {cell.method: cell.training.optimizer.epochs for cell in plan(config)}
    assert (epochs["resnet18"], epochs["scratch"]) == (7, 1)


def test_small_budgets_get_more_epochs() -> None:
    section = tier("full").finetune
    assert section.epochs_of(100, 64) == 200
    assert section.epochs_of("all", 64) == section.epochs == 20


# The command.


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--tier smal", "unknown tier 'smal' (did you mean 'small'?)"),
        ("--tier smoke --only mea", "unknown method 'mea' (did you mean 'mae'?)"),
        ("--tier smoke --presets publishd", "(did you mean 'published'?)"),
        ("--tier smoke --presets physical --only mae:plan", "no cell of this tier"),
        ("--tier smoke --seeds -1", "--seeds takes numbers from 0"),
        ("--tier smoke --seeds a", "--seeds takes numbers from 0"),
        ("--tier smoke --set methods.mea={}", "unknown method 'mea' (did you mean 'mae'?)"),
        ("--tier smoke --set baselines.scrach={}", "unknown baseline 'scrach' (did you mean"),
        ("--tier smoke --set baselines.radial.seed=1", "radial is measured by a probe, which"),
        ("--tier smoke --set ablations.methods.mae={}", "needs a name of its own, as mae:no-guard"),
        ("--tier smoke --set ablations.methods.dino:x={}", "unknown row to take a part from"),
        ("--tier smoke --set finetune.full.labels_per_class=[22]", "too few for a budget of 22"),
        ("--tier smoke --set finetune.full.labels_per_class=[0]", "labels a class from 1"),
        ("--tier smoke --set finetune.full.labels_per_class=[5,5]", "name each value once"),
        ("--tier smoke --set finetune_data_seed=0", "must differ"),
        ("--tier smoke --set finetune.wider.rows=[radial]", "unknown row that is trained whole"),
        ("--tier smoke --set pretrain.vews=3", "(did you mean 'views'?)"),
        ("--tier smoke --set methods.mae.params.mask_ration=0.5", "(did you mean 'mask_ratio'?)"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    line: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", *shlex.split(line)])
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


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
    compare("smoke", tier(), Path("results"), Wanted(("radial",)))
    anywhere = load_config(
        CompareConfig, shipped_config("compare", "smoke", "tier"), (), device="auto"
    )
    assert compare("smoke", anywhere, Path("results"), Wanted(("radial",))).begun_with == 8
    assert {cell["device"] for cell in files().values()} == {"cpu"}


def test_a_cell_that_is_measured_again_says_by_what_code_its_encoder_was_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tier("smoke", "finetune.linear.models=[3]", "finetune.full.models=[]")
    wanted = Wanted(("mae",), ("published",), (0,))
    for code in ("older", "newer"):
        monkeypatch.setattr("learn.compare.run.commit_of_the_code", lambda code=code: code)
        compare("smoke", config, Path(code), wanted)
    cells = files(Path("newer"))
    assert {(cell["commit"], cell["encoder_commit"]) for cell in cells.values()} == {
        ("newer", "older")
    }
    assert "code newer, older." in Path("newer/smoke/table.md").read_text()
