"""The pictures of a comparison on a page: what they show in words, and all rows below them."""

from learn.compare.showing.page_pictures import comparison_pictures
from tests.learn.compare.showing.test_cell_tables import cell
from tests.learn.reporting.conftest import draw


def test_the_description_has_axes_rows_test_images_and_the_best_beside_the_baselines(tmp_path):
    draw(tmp_path / "label_efficiency.png")
    names = {"radial": 0.25, "detection-statistics": 0.5, "mae": 0.375, "dino": 0.75}
    cells = [cell(name, value, budget) for name, value in names.items() for budget in (10, 20)]
    (picture,) = comparison_pictures(tmp_path, [*cells, cell("scratch", 0.9, mode="full")])
    assert picture.alt == (
        "Line charts, 2 panels: accuracy against the number of labels a "
        "class, on a logarithmic axis. 8 test images. 5 rows in all. With 4 of them, physical, "
        "Model 3, linear 20: best dino 0.750 (1), radial 0.250 (1), detection-statistics 0.500 (1)."
    )
    assert picture.caption.endswith("all are in the table below. 8 test images.")
    assert len(picture.rows.rows) == 5
    assert picture.rows.head[2:] == ("physical, Model 3, linear 20", "physical, Model 3, full 10")


def test_the_rows_of_a_signal_are_told_by_what_they_recognise(tmp_path):
    draw(tmp_path / "sensitivity.png")
    one = cell("mae", 0.5)
    counts = {"median": [1.0, 9.0], "count": [3.0, 1.0], "correct": [0.0, 1.0]}
    one.metrics["sensitivity"] = {"perturbation_snr": counts}
    (picture,) = comparison_pictures(tmp_path, [one])
    assert "best mae 0.250 (1)." in picture.alt
    assert "against S/N of substructure" in picture.alt


def test_a_picture_without_cells_that_it_could_show_has_its_caption_alone(tmp_path):
    draw(tmp_path / "sensitivity.png")
    (picture,) = comparison_pictures(tmp_path, [cell("mae", 0.5)])
    assert (picture.alt, picture.rows) == ("", None)
