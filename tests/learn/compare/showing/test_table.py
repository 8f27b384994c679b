"""The page of a comparison: tables of means, gaps, and numbers of earlier systems."""

from learn.compare.plan import plan
from learn.compare.showing.table import format_table
from tests.learn.compare.conftest import tier


def result(value):
    names = ("accuracy", "macro_auc", "mse", "psnr", "ssim")
    numbers = {p + name: value for p in ("", "radial_", "bicubic_") for name in names}
    classes = dict.fromkeys(("no_sub", "cdm", "axion"), value)
    metrics = numbers | {"auc": classes, "radial_auc": classes, "test_images": 1500}
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
    assert "Model 3\n\n1,500 test images.\n\n| Accuracy |" in page


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


def test_the_rate_of_detected_subhaloes_stands_beside_the_published_one():
    config = tier("smoke")
    cells = [cell for cell in plan(config) if cell.preset == "physical"]
    page = format_table("smoke", config, cells, {c: result(0.5) for c in cells}, "figure.png")
    assert "arXiv 2401.16624" not in page, "no cell has counted"
    counts = {name: [0.0, 3.0, 1.0, 0.0, 0.0] for name in ("median", "correct", "detected")}
    counts |= {"count": [0.0, 4.0, 1.0, 0.0, 0.0]}
    done = {}
    for cell in cells:
        done[cell] = result(0.5)
        if cell.method == "mae" and cell.mode == "linear":
            done[cell]["metrics"]["sensitivity"] = {"heaviest_subhalo_mass": counts}
    page = format_table("smoke", config, cells, done, "figure.png")
    section = page.partition("## Preset physical: Model 2 to Model 3")[2].partition("## ")[0]
    *_, rates = section.partition("True-positive rate at 10% false positives")
    assert "Published: 0.71 (arXiv 2401.16624" in rates
    assert "| mae | 0.800 ± 0.000 (2) |  |" in rates
    assert "radial" not in rates, "which has not counted"


def test_smaller_data_sets_are_named():
    fewer = "{presets: [physical], models: [1], images: 60, labels_per_class: [2]}"
    config = tier("smoke", f"finetune.smaller=[{fewer}]")
    page = format_table("smoke", config, plan(config), {}, "figure.png")
    assert "measured on 90 images (60 of Model 1 `physical`)" in page
