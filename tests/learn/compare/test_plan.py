"""The plan of a tier: rows, budgets and lengths of training."""

import json
from collections import defaultdict

import pytest

from learn.compare.plan import plan
from learn.methods import METHODS
from lensphys.ground.errors import InputError
from tests.learn.compare.conftest import tier


def test_some_rows_are_trained_whole_on_more() -> None:
    cells = [cell for cell in plan(tier()) if cell.mode == "full"]
    models: dict[tuple[str, str], set[int]] = defaultdict(set)
    for cell in cells:
        models[cell.method, cell.preset].add(cell.finetune_model)
    assert models["physics-ijepa", "physical"] == {1, 3}
    assert models["physics-ijepa", "published"] == models["mae", "physical"] == {3}


def test_those_that_are_pretrained_may_train_the_encoder_slowly() -> None:
    sets = (
        "finetune.wider.set={physical: {encoder_rate: 0.1}}",
        "finetune.wider.rows=[mae,scratch]",
    )
    rates: dict[tuple[str, str], set[float]] = defaultdict(set)
    for cell in plan(tier("smoke", *sets)):
        if cell.mode == "full":
            rates[cell.method, cell.preset].add(cell.training.encoder_rate)
    assert rates["mae", "physical"] == {0.1}
    assert rates["mae", "published"] == rates["scratch", "physical"] == {1.0}


@pytest.mark.parametrize("name", ["smoke", "small", "full"])
def test_every_tier_can_be_planned_and_holds_its_baselines(name: str) -> None:
    config = tier(name)
    cells = plan(config)
    assert len({cell.name for cell in cells}) == len(cells)
    assert {"radial", "untrained", "scratch", "resnet18"} <= {cell.method for cell in cells}
    third = {"realistic"} if name == "small" else set()
    assert {cell.preset for cell in cells} == {"published", "physical"} | third
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


def test_some_data_sets_are_smaller_and_have_budgets_of_their_own() -> None:
    fewer = "{presets: [physical], models: [1], images: 60, labels_per_class: [2, 4]}"
    sizes: dict[tuple[str, int], set[object]] = defaultdict(set)
    for cell in plan(tier("smoke", f"finetune.smaller=[{fewer}]", "protocols={}")):
        sizes[cell.preset, cell.finetune_model].add((cell.data.n, cell.labels_per_class))
    assert sizes["physical", 1] == {(60, 2), (60, 4)}
    assert sizes["published", 1] == sizes["physical", 3] == {(90, 10)}


def test_rows_stand_in_the_order_of_baselines_methods_and_ablations() -> None:
    config = tier("small")
    assert config.rows[:2] == ("radial", "detection-statistics")
    kinds = [config.baselines, config.methods, config.ablations.names, config.protocols]
    places = [next(k for k, kind in enumerate(kinds) if row in kind) for row in config.rows]
    assert places == sorted(places)


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


def test_further_ablations_have_presets_and_numbers_of_images_of_their_own() -> None:
    more = "{presets: [physical], images: 70, methods: {mae:half: {params.mask_ratio: 0.5}}}"
    config = tier("smoke", f"ablations.further=[{more}]")
    halves = [cell for cell in plan(config) if cell.method == "mae:half"]
    assert config.rows.count("mae:half") == 1
    assert {(cell.preset, cell.mode) for cell in halves} == {("physical", "linear")}
    assert {cell.pretraining.data.n for cell in halves if cell.pretraining} == {70}


def test_a_baseline_may_have_a_fine_tuning_of_its_own() -> None:
    config = tier("smoke", "baselines.resnet18.optimizer.epochs=7")
    epochs = {cell.method: cell.training.optimizer.epochs for cell in plan(config)}
    assert (epochs["resnet18"], epochs["scratch"]) == (7, 1)


def test_a_protocol_has_a_training_for_each_of_its_budgets() -> None:
    config = tier("small")
    cells = [c for c in plan(config) if c.method in ("lens-lejepa:lora", "physics-ijepa:full")]
    trained = {(c.method, c.labels_per_class): c for c in cells if c.seed == 0}
    assert {labels for _, labels in trained} == {100, 500, 1000, 5000}
    assert len({c.name for c in cells}) == len(cells) == 2 * 4 * 3
    for (method, labels), cell in trained.items():
        assert cell.training.labels_per_class == labels
        assert cell.mode == cell.training.mode == ("lora" if "lora" in method else "full")
        assert (cell.training.lora is None) == ("lora" not in method)
        steps = -(-3 * labels // 64) * cell.training.optimizer.epochs
        assert steps >= config.finetune.least_steps
        assert (cell.pretrain_model, cell.finetune_model) == (1, 2)
    encoders = {str(c.pretraining.identity) for c in trained.values() if c.pretraining}
    assert len(encoders) == 2, "one a method, for all budgets"


def test_a_protocol_with_too_few_images_is_refused() -> None:
    few = "protocols.ijepa:lora.finetune.labels_per_class=[5,22]"
    with pytest.raises(InputError, match=r"ijepa:lora: 60 images leave 16 labels a class .* of 22"):
        plan(tier("smoke", few))
