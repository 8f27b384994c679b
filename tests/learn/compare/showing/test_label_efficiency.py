"""The figure of accuracy against labels."""

from PIL import Image

from learn.compare.plan import plan
from learn.compare.showing.label_efficiency import draw_label_efficiency
from tests.learn.compare.conftest import tier


def test_there_is_no_figure_of_nothing(tmp_path):
    assert draw_label_efficiency(tmp_path / "figure.png", tier("smoke"), {}) is None


def test_each_data_set_has_a_row_of_panels(tmp_path):
    config = tier("smoke")
    result = {"metrics": {"accuracy": 0.5}}
    heights = []
    for presets in (["published"], ["published", "physical"]):
        cells = [c for c in plan(config) if c.preset in presets and c.method == "radial"]
        path = tmp_path / f"{len(presets)}.png"
        draw_label_efficiency(path, config, dict.fromkeys(cells, result))
        heights.append(Image.open(path).height)
    assert heights[1] > 1.5 * heights[0]
