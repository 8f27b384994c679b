"""The lines of rows in figures."""

from matplotlib.figure import Figure

from learn.compare.showing.row_styles import (
    add_legend,
    line_style,
    rows_of_panel,
    rows_with_a_name,
)
from tests.learn.compare.conftest import tier


def test_baselines_are_dashed_and_grey_and_methods_in_colour():
    config = tier("smoke")
    assert line_style(config, "scratch")["linestyle"] == "--"
    assert line_style(config, "mae")["linestyle"] == "-"
    assert line_style(config, "mae")["color"] != line_style(config, "physics-ijepa")["color"]
    assert "label" not in line_style(config, "mae", named=False)


def test_ablations_share_a_panel_with_their_method_and_the_trivial_baselines():
    config = tier("smoke", "ablations.methods.mae:half={params.mask_ratio: 0.5}")
    assert {"radial", "mae", "mae:half"} <= {*rows_of_panel(config, ablations=True)}
    assert "scratch" not in rows_of_panel(config, ablations=True)
    assert "mae:half" not in rows_of_panel(config, ablations=False)


def test_a_legend_names_both_trivial_baselines_and_the_best_eight():
    scores = {"radial": 0.0, "detection-statistics": 0.0} | {f"m{k}": k / 20 for k in range(12)}
    named = rows_with_a_name(scores)
    assert named == ["radial", "detection-statistics", *(f"m{k}" for k in range(4, 12))]


def test_a_line_of_panels_has_one_legend_also_where_the_last_is_empty():
    first, last = Figure().subplots(1, 2)
    for ax, name in ((first, "mae"), (first, "radial"), (last, "radial")):
        ax.plot([0, 1], label=name)
    last.plot([0, 1])
    last.set_axis_off()
    add_legend([first, last], tier("smoke"))
    assert first.get_legend() is None
    assert [text.get_text() for text in last.get_legend().get_texts()] == ["radial", "mae"]
