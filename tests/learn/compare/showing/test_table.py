"""The page of a comparison: tables of means, gaps, and numbers of earlier systems."""

from learn.compare.plan import plan
from learn.compare.showing.table import format_table
from tests.learn.compare.conftest import tier


def result(value):
    names = ("accuracy", "macro_auc", "mse", "psnr", "ssim")
    numbers = {p + name: value for p in ("", "radial_", "bicubic_") for name in names}
    classes = dict.fromkeys(("no_sub", "cdm", "axion"), value)
    metrics = numbers | {"auc": classes, "radial_auc": classes}
    return {"metrics": metrics, "commit": "0123456789ab", "seconds": 1800.0}


def test_cells_that_are_missing_are_marked_and_hours_are_added_up():
    config = tier("smoke")
    cells = plan(config)
    done = {cell: result(0.5) for cell in cells if cell.method == "radial"}
    page = format_table("smoke", config, cells, done, "figure.png")
    assert f"{len(done)} of {len(cells)} cells, {len(done) / 2:.2f} hours" in page
    assert "code 0123456789ab." in page
    assert "| radial | 0.500 ± 0.000 (2) |" in page
    assert "| mae | missing |" in page


def test_baselines_of_the_tier_are_explained():
    config = tier("smoke")
    page = format_table("smoke", config, plan(config), {}, "figure.png")
    for name in config.baselines:
        assert f"`{name}` is " in page


def test_published_numbers_stand_beside_those_measured_here():
    config = tier("smoke")
    cells = plan(config)
    page = format_table("smoke", config, cells, {cell: result(0.25) for cell in cells}, "f.png")
    assert "| `mae:plan` | published | here | radial features |" in page
    assert "| psnr | 34.1 | 0.250 ± 0.000 (2) | 0.250 ± 0.000 (2) |" in page
