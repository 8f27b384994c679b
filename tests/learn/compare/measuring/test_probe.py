"""A linear probe of frozen features."""

from typing import Any

import numpy as np

from learn.compare.measuring.probe import probe
from learn.splits import split


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
    metrics = probe([told], data, parts, (0.1, 1.0))
    assert metrics["accuracy"] == 1.0
    assert metrics["strength"] in (0.1, 1.0)
    wrong = told.copy()  # what the budget leaves out must not matter
    unused = np.setdiff1d(np.arange(300), np.concatenate([parts.train, parts.validation]))
    unused = np.setdiff1d(unused, parts.test)
    wrong[unused] = 1e6
    assert probe([wrong], data, parts, (0.1, 1.0)) == metrics
