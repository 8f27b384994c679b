"""The lines that a legend names."""

from learn.reporting.figures.legend import choose_named


def test_baselines_are_named_and_then_the_best_in_their_order():
    scores = {"radial": 0.1, "a": 0.9, "b": 0.2, "detection": 0.3, "c": 0.5}
    named = choose_named(scores, ("radial", "detection"), most=4)
    assert named == ["radial", "a", "detection", "c"]
    assert choose_named(scores, ("absent",)) == list(scores), "all of few"


def test_no_more_than_ten_are_named():
    assert choose_named({str(k): k for k in range(14)}) == [str(k) for k in range(4, 14)]
