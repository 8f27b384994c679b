"""Images in figures."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from simulate.dataset.figures import extent, flux_ticks, save_figure, stretch


def test_an_image_ends_half_a_pixel_beyond_its_outermost_centres():
    assert extent((3, 20, 30), 0.1) == pytest.approx((-1.5, 1.5, -1.0, 1.0))


def test_a_colour_scale_is_linear_near_zero_and_reaches_the_brightest():
    norm = stretch(np.linspace(-1.0, 99.0, 10001))
    assert norm.vmin == -1.0
    assert norm.vmax == pytest.approx(99.0, rel=1e-3)
    assert float(norm(0.2)) - float(norm(0.1)) == pytest.approx(
        float(norm(0.1) - norm(0.0)), rel=0.01
    )
    assert stretch(np.zeros((4, 4))).vmax == 1.0


def test_ticks_span_the_scale_and_have_few_digits():
    figure = Figure()
    ax = figure.add_subplot()
    bar = figure.colorbar(ax.imshow([[0.0, 12345.0]], norm=stretch(np.array([0.0, 12345.0]))))
    flux_ticks(bar, 0.0, 12345.0)
    labels = [label.get_text() for label in bar.ax.get_yticklabels()]
    assert labels == ["0", "617", "2469", "6172", "12345"]


def test_a_figure_is_written_with_its_mark_and_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        figure = Figure()
        figure.add_subplot().plot([0, 1])
        save_figure(figure, tmp_path / name, creator="us")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert Image.open(tmp_path / "a.png").text["Software"] == "us"
