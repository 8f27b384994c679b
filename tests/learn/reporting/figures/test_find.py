"""Figures of a lens finder."""

import numpy as np

from learn.reporting.figures.find import draw_finder, draw_look_alikes


def test_a_finder_without_false_positives_is_drawn_on_a_logarithmic_axis(tmp_path):
    truth = np.arange(20) % 2 == 0
    score = np.where(truth, 5.0, -5.0)
    path = draw_finder(tmp_path / "roc.png", {"encoder": (score, 0.0)}, truth)
    assert path.stat().st_size > 0


def test_kinds_that_do_not_occur_have_no_bar(tmp_path):
    kinds = np.array([0.0, 0.0, np.nan, 2.0])
    passed = {"encoder": np.array([True, False, True, False])}
    path = draw_look_alikes(tmp_path / "kinds.png", passed, kinds, ["ring", "spiral", "pair"])
    assert path.stat().st_size > 0
