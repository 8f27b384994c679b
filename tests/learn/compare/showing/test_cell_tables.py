"""Tables of cells, and the test images that they share."""

from learn.compare.cell_files import CellFile
from learn.compare.showing.cell_tables import count_tested_of, make_table, metric_of, row_of


def cell(method, accuracy, budget=10, mode="linear", confusion=((3, 1), (0, 4)), model=None):
    return CellFile(
        method=method,
        preset="physical",
        pretrain_model=model,
        finetune_model=3,
        task="classify",
        mode=mode,
        labels_per_class=budget,
        seed=0,
        metrics={"accuracy": accuracy, "confusion": confusion},
        config={},
        commit="0123456789ab",
        seconds=1.0,
    )


def test_a_row_is_a_method_and_a_column_a_mode_and_a_budget():
    cells = [cell("mae", 0.5, model=2), cell("radial", 0.25), cell("radial", 0.75, 20)]
    table = make_table("Accuracy", cells, lambda c: metric_of("accuracy", c))
    assert table.caption == "Accuracy, 8 test images"
    assert table.head == ("method", "pretrained on", "linear 10", "linear 20")
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["radial", "–", "0.250 (1)", "0.750 (1)"],
        ["mae", "Model 2", "0.500 (1)", "–"],
    ]


def test_baselines_stand_above_methods_and_ablations_below():
    names = ["mae:half", "mae", "scratch", "radial"]
    assert sorted(names, key=lambda name: row_of(cell(name, 0.5))) == names[::-1]


def test_cells_of_unlike_tests_name_the_range():
    cells = [cell("a", 0.5), cell("b", 0.5, confusion=((1,),))]
    assert count_tested_of(each.metrics for each in cells) == ["1 to 8 test images"]
    assert count_tested_of([{"accuracy": 0.5}]) == []
