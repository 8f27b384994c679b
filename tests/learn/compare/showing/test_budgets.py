"""Protocols with several budgets share a table."""

from learn.compare.protocols import Protocol
from learn.compare.showing.budgets import budget_tables, group_protocols
from tests.learn.compare.conftest import tier


def protocols() -> dict[str, Protocol]:
    return tier("smoke").protocols


def test_protocols_of_one_source_and_the_same_budgets_stand_together() -> None:
    groups = [list(group) for group in group_protocols(protocols())]
    assert ["lens-lejepa:lora", "ijepa:lora"] in groups
    assert ["mae:plan"] in groups
    assert sum(map(len, groups)) == len(protocols())


def test_a_row_holds_a_number_for_each_budget_and_the_baselines_come_last() -> None:
    (group,) = [g for g in group_protocols(protocols()) if "ijepa:lora" in g]
    seeds = [{"accuracy": value, "radial_accuracy": 0.25} for value in (0.5, 0.7)]
    measured = {("ijepa:lora", 5): seeds, ("lens-lejepa:lora", 5): seeds[:1]}
    (table,) = budget_tables(group, measured, "missing")
    assert table.head == ("accuracy", "5", "10")
    rows = {row[0].text: [entry.text for entry in row[1:]] for row in table.rows}
    assert list(rows) == [
        "lens-lejepa:lora, published",
        "lens-lejepa:lora, here",
        "ijepa:lora, published",
        "ijepa:lora, here",
        "radial features",
    ]
    assert rows["ijepa:lora, published"] == ["0.431", "0.846"]
    # Half of the interval: 12.7062 (Student, one degree of freedom) times 0.2 / 2.
    assert rows["ijepa:lora, here"] == ["0.600 ± 1.271 (2)", "missing"]
    assert rows["lens-lejepa:lora, here"] == ["0.500 (1)", "missing"]
    assert rows["radial features"][1] == "missing"


def test_a_baseline_that_a_network_alone_has_is_taken_from_it() -> None:
    (group,) = [g for g in group_protocols(protocols()) if "ijepa:lora" in g]
    first = {"accuracy": 0.5, "radial_accuracy": 0.25}
    measured = {
        ("lens-lejepa:lora", 5): [first],
        ("ijepa:lora", 5): [first | {"detection_accuracy": 0.75}],
    }
    (table,) = budget_tables(group, measured, "–")
    (row,) = [row for row in table.rows if "detection" in row[0].text]
    assert [entry.text for entry in row[1:]] == ["0.750 (1)", "–"]


def test_nothing_measured_leaves_the_published_numbers() -> None:
    (group,) = [g for g in group_protocols(protocols()) if "ijepa:lora" in g]
    (table,) = budget_tables(group, {}, "–")
    texts = {row[0].text: row[1].text for row in table.rows}
    assert texts["ijepa:lora, published"] == "0.431"
    assert texts["ijepa:lora, here"] == "–"
