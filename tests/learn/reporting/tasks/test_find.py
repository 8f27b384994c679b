"""The notes below the table of a lens finder."""

from learn.reporting.tasks.find import REPORT
from tests.learn.reporting.conftest import FOUND


def test_look_alikes_that_pass_are_named():
    assert "called a lens, of each look-alike: ring 0.250" in REPORT.notes(FOUND)


def test_rates_below_one_image_are_marked():
    enough = FOUND | {"non_lenses": 500, "false_positive_rate": {}}
    (note,) = REPORT.notes(enough)
    assert note.startswith("500 non-lenses are too few for a false-positive rate of 0.001:")
    assert REPORT.notes(enough | {"non_lenses": 1000}) == []


def test_figures_are_described_with_axes_lines_and_numbers():
    alts = REPORT.alt_texts(FOUND)
    end = "9 lenses and 6 others. Areas under the curves: network 0.500, radial features 0.500."
    assert alts["roc"].endswith(end)
    assert alts["look_alikes"].endswith("Network, of 6 look-alikes: ring 0.250.")
