"""Figures of a classification."""

import numpy as np
from PIL import Image

from learn.reporting.figures.classify import draw_confusion, draw_roc

NAMES = ["no_sub", "cdm"]


def test_each_class_has_a_panel(tmp_path):
    truth = np.array([0, 1, 0, 1])
    probabilities = {"encoder": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])}
    one, two = (
        Image.open(draw_roc(tmp_path / f"{len(names)}.png", probabilities, truth, names))
        for names in (NAMES[:1], NAMES)
    )
    assert two.width > 1.5 * one.width


def test_a_class_without_images_has_no_curve(tmp_path):
    truth = np.zeros(3, np.int64)
    path = draw_roc(tmp_path / "roc.png", {"encoder": np.full((3, 2), 0.5)}, truth, NAMES)
    assert path.is_file()


def test_a_class_without_images_leaves_its_row_empty(tmp_path):
    path = draw_confusion(tmp_path / "confusion.png", np.array([[3, 1], [0, 0]]), NAMES)
    assert path.stat().st_size > 0
