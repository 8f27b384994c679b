"""The picture of a data set."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from simulate.dataset import preview
from tests.simulate.dataset.reports import foreign


@pytest.fixture
def drawn(monkeypatch):
    """The figure of a preview."""

    def draw(folder):
        figures = []
        save = preview.save_figure

        def keep(figure, path):
            figures.append(figure)
            save(figure, path)

        monkeypatch.setattr(preview, "save_figure", keep)
        preview.write_preview(folder)
        return figures[0]

    return draw


def histograms_of(figure):
    return [ax.get_xlabel() for ax in figure.axes if not ax.images and ax.get_xlabel()]


def words_of(figure):
    return " ".join(text.get_text() for text in figure.texts)


def test_the_same_data_make_the_same_picture(copy):
    before = (copy / "preview.png").read_bytes()
    assert preview.is_intact(copy)
    (copy / "preview.png").write_bytes(before[:-10])
    assert not preview.is_intact(copy)
    preview.write_preview(copy)
    assert (copy / "preview.png").read_bytes() == before


def test_classes_are_found_wherever_their_images_lie(tmp_path, drawn):
    """Sorted by class, as imports are: a class is not in the first shard."""
    data = foreign(tmp_path / "data", [0] * 20 + [1] * 20, ["non_lens", "unlabelled"], shards=4)
    figure = drawn(data)
    rows = [ax.get_ylabel().split("\n")[0] for ax in figure.axes if "arcsec" in ax.get_ylabel()]
    assert rows == ["non_lens", "unlabelled"]
    assert sum(bool(ax.images) for ax in figure.axes) == 12


def test_parameters_that_vary_have_histograms_the_most_telling_first(tmp_path, drawn):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    params = {f"p{i}": rng.normal(size=400) for i in range(40)}
    params |= {"telling": label + 0.1 * rng.normal(size=400), "constant": np.full(400, 3.0)}
    params["of_one"] = np.where(label == 1, rng.normal(size=400), np.nan)
    figure = drawn(foreign(tmp_path / "data", label, ["a", "b"], params))
    panels = histograms_of(figure)
    assert len(panels) == 36
    assert panels[0] == "telling"
    assert "constant" not in panels
    words = words_of(figure)
    assert "Parameters that vary too: " in words
    assert "Constant: constant = 3." in words
    for name in params.keys() - {"constant"}:
        assert name in panels or name in words or f"{name}\n(b)" in panels


def test_the_lens_is_drawn_first_with_units_and_a_logarithm_in_place_of_its_quantity(
    tmp_path, drawn
):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    params = {
        "log10_axion_mass": rng.uniform(-24, -22, 400),
        "peak_snr": label + 0.1 * rng.normal(size=400),
        "theta_E": rng.uniform(0.7, 1.6, 400),
        "source_center_x": rng.normal(size=400),
        "e1": rng.normal(size=400),
    }
    params["axion_mass"] = 10 ** params["log10_axion_mass"]
    assert histograms_of(drawn(foreign(tmp_path / "data", label, ["a", "b"], params))) == [
        "theta_E\n[arcsec]",
        "e1",
        "log10_axion_mass\n[log10 eV]",
        "peak_snr",
        "source_center_x\n[arcsec]",
    ]


def test_the_classes_have_one_legend_and_it_says_how_many_images_they_have(copy, drawn):
    figure = drawn(copy)
    assert all(ax.get_legend() is None for ax in figure.axes)
    words = [text.get_text() for text in figure.texts]
    for name in ("no_sub", "cdm", "axion"):
        assert [word for word in words if word.startswith(name)] == [f"{name}: 32 images"]
    swatches = [patch for patch in figure.artists if isinstance(patch, Rectangle)]
    assert [patch.get_facecolor() for patch in swatches] == [
        to_rgba(colour) for colour in ("C0", "C1", "C2", "0.6")
    ]


def test_a_preview_says_by_what_deflections_are_scaled(copy, drawn):
    words = words_of(drawn(copy))
    assert "Deflections: all times 0.634" in words
    assert "a ring of 0.813 arcsec on the sky" in words


def test_images_of_like_brightness_share_a_colour_scale_others_do_not(tmp_path, drawn):
    rng = np.random.default_rng(0)
    like = rng.uniform(1, 2, (12, 1, 8, 8))
    bars = []
    for name, image in (
        ("like", like),
        ("unlike", like * 10.0 ** np.arange(12)[:, None, None, None]),
    ):
        figure = drawn(foreign(tmp_path / name, [0] * 12, ["a"], image=image))
        bars += [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel().startswith("f")]
    assert bars == [
        "flux per pixel [counts]",
        "from the sky to the peak of each image;\npeaks in counts",
    ]


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_flat_and_empty_images_can_be_drawn(tmp_path, drawn, value):
    drawn(foreign(tmp_path / "data", [0] * 3, ["a"], image=np.full((3, 1, 8, 8), value)))
