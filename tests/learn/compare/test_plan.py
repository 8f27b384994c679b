"""The plan of a tier: rows, budgets and lengths of training."""

import json
from collections import defaultdict

import pytest

from learn.compare.plan import plan
from learn.methods import METHODS
from tests.learn.compare.conftest import tier


def test_some_rows_are_trained_whole_on_more() -> None:
    cells = [cell for cell in plan(tier()) if cell.mode == "full"]
    models: dict[tuple[str, str], set[int]] = defaultdict(set)
    for cell in cells:
        models[cell.method, cell.preset].add(cell.finetune_model)
    assert models["physics-ijepa", "physical"] == {1, 3}
    assert models["physics-ijepa", "published"] == models["mae", "physical"] == {3}


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
