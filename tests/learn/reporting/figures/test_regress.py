"""Figures of regressed columns."""

import numpy as np
from PIL import Image

from learn.reporting.figures.regress import draw_calibration, draw_regression


def test_a_column_without_a_value_has_no_panel(tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 2))
    metrics = {"mae": {"theta_E": 0.1, "gamma": 0.1}, "r2": {"theta_E": 0.9}}
    columns, sigma = ["theta_E", "gamma"], np.ones((30, 2))
    both = Image.open(draw_regression(tmp_path / "both.png", truth, sigma, truth, columns, metrics))
    truth[:, 1] = np.nan
    one = Image.open(draw_regression(tmp_path / "one.png", truth, sigma, truth, columns, metrics))
    assert one.width < 0.7 * both.width


def test_errors_that_are_not_known_are_left_out(tmp_path):
    z = np.abs(np.random.default_rng(0).normal(size=(50, 2)))
    z[:, 1] = np.nan
    path = draw_calibration(tmp_path / "calibration.png", z, ["theta_E", "gamma"])
    assert path.stat().st_size > 0


def test_a_calibration_names_the_diagonal_and_the_nine_worst_columns(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "learn.reporting.figures.regress.save_figure", lambda figure, path: drawn.append(figure)
    )
    z = np.abs(np.random.default_rng(0).normal(size=(400, 12)))
    z[:, 11] *= 3  # errors three times as large as predicted
    draw_calibration(tmp_path / "calibration.png", z, [f"c{k}" for k in range(12)])
    entries = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert len(entries) == 10
    assert entries[0] == "as it should be"
    assert "c11" in entries
