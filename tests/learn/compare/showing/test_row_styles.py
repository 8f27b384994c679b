"""The lines of rows in figures."""

from learn.compare.showing.row_styles import line_style, rows_of_panel
from tests.learn.compare.conftest import tier


def test_baselines_are_dashed_and_grey_and_methods_in_colour():
    config = tier("smoke")
    assert line_style(config, "scratch")["linestyle"] == "--"
    assert line_style(config, "mae")["linestyle"] == "-"
    assert line_style(config, "mae")["color"] != line_style(config, "physics-ijepa")["color"]


def test_ablations_share_a_panel_with_their_method():
    config = tier("smoke", "ablations.methods.mae:half={params.mask_ratio: 0.5}")
    assert {"mae", "mae:half"} <= {*rows_of_panel(config, ablations=True)}
    assert "mae:half" not in rows_of_panel(config, ablations=False)
