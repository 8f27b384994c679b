"""What a data set tells about itself, and what is found to be wrong with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from rich.console import Console

from simulate.dataset import columns, preview, summary
from simulate.dataset.inspection import inspect, verify
from simulate.imaging import make_images, make_renderers
from simulate.instruments import instrument
from simulate.light.add_light import add_light
from simulate.presets import make_prior
from simulate.run import simulate
from simulate.shards import read, write_manifest, write_shard
from simulate.sources.galaxies import load_galaxies

GALAXIES = Path(__file__).parents[1] / "data" / "galaxies.h5"


@pytest.fixture
def copy(undisturbed, tmp_path):
    return Path(shutil.copytree(undisturbed, tmp_path / "copy"))


def told(folder):
    console = Console(width=200)
    with console.capture() as capture:
        inspect(folder, console)
    return " ".join(capture.get().split())


def damages(folder):
    return list(verify(summary.summarize(folder), lambda count: None))


def foreign(folder, labels, names, params=None, image=None, shards=1):
    """A data set of another origin, with images and classes as asked for."""
    folder.mkdir(exist_ok=True)
    labels = np.asarray(labels)
    entries = []
    for number, part in enumerate(np.array_split(np.arange(len(labels)), shards)):
        pixels = np.ones((len(part), 1, 8, 12)) if image is None else image[part]
        columns = {"image": pixels.astype(np.float32), "label": labels[part]}
        values = {name: column[part] for name, column in (params or {}).items()}
        attrs = {"label_names": names, "pixel_scale": 0.1, "unit": "counts", "preset": "imported"}
        file = f"shard-{number:05d}.h5"
        digest = write_shard(folder / file, columns, values, attrs)
        entries.append({"file": file, "n": len(part), "sha256": digest})
    manifest = {"schema_version": 1, "config": {}, "complete": True, "label_names": names}
    more = {"shards": entries, "skipped": {"n": 3, "names": ["a", "b", "c"]}}
    (folder / "manifest.json").write_text(json.dumps(manifest | more))
    return folder


def test_a_finished_data_set_is_described(copy):
    words = told(copy)
    for part in (
        "model 2 preset published instrument euclid_vis_published images 96",
        "no_sub 32 cdm 32 axion 32",
        "image 64 x 64 pixels of 0.101 arcsec: 6.46 x 6.46 arcsec",
        "unit 2 e-/s deflections",
        "shards 3, with all files 1.",
        "state complete",
        "deflections all times 0.634: theta_E, gamma1 and gamma2 are before this factor",
        "theta_E = 1.281 arcsec is a ring of 0.813 arcsec on the sky",
        "substructure_mass solar masses 96 0 ",
        "constant wherever it applies: theta_E = 1.28149 arcsec, theta_E_main = 1.28149 arcsec",
        f"picture: {copy / 'preview.png'}",
    ):
        assert part in words
    assert "low resolution" not in words
    assert "skipped" not in words


def test_deflections_that_are_not_scaled_are_not_spoken_of(tmp_path):
    params = {"theta_E": np.array([1.0, 1.2])}
    assert "deflections all" not in told(foreign(tmp_path / "data", [0, 0], ["a"], params))


def test_parameters_stand_in_the_order_of_the_table_with_their_units(tmp_path):
    names = ["mystery", "source_flux", "e1", "exposure_time", "theta_E", "another"]
    params = {name: np.arange(3.0) for name in names}
    words = told(foreign(tmp_path / "data", [0] * 3, ["a"], params))
    places = [words.index(f" {part} 3 0 1 2") for part in (
        "theta_E arcsec", "e1", "source_flux e-/s", "exposure_time s", "another", "mystery",
    )]  # fmt: skip
    assert places == sorted(places)


def test_the_table_fits_on_a_terminal_of_80_columns(tmp_path, monkeypatch):
    monkeypatch.setattr("simulate.dataset.inspection.write_preview", lambda folder, summary: folder)
    rng = np.random.default_rng(0)
    params = {name: -1e-3 * rng.uniform(0.1, 1, 2) for name in columns.known_columns()}
    console = Console(width=80)
    with console.capture() as capture:
        inspect(foreign(tmp_path / "data", [0, 0], ["a"], params), console)
    lines = capture.get().splitlines()
    for name in columns.known_columns():
        assert any(line.split()[:1] == [name] for line in lines), name


@pytest.mark.parametrize("model", [1, 2, 3])
@pytest.mark.parametrize("preset", ["published", "physical"])
@pytest.mark.parametrize("more", ["", "lens_light.enabled=true", "non_lens.fraction=0.5"])
def test_every_column_of_every_preset_is_in_the_table(configure, model, preset, more):
    config = configure(model, *filter(None, [more]), preset=preset)
    scene, _ = make_images(config, make_prior(config), make_renderers(config), 0, 6)
    assert scene.params.keys() <= columns.known_columns().keys()


def test_the_columns_of_real_galaxies_are_in_the_table(configure):
    config = configure(2, f"galaxies.path={GALAXIES}", preset="physical")
    galaxies, camera = load_galaxies(config.galaxies), instrument(config.instrument)
    scene = add_light(make_prior(config).draw(0, 6), config, camera, galaxies)
    assert {"source_galaxy", "source_angle"} < scene.params.keys() <= columns.known_columns().keys()


def test_the_table_names_its_units_and_no_column_twice():
    assert columns.unit("theta_E") == "arcsec"
    assert columns.unit("gamma") == columns.unit("mystery") == ""
    assert columns.in_order(["b", "e1", "a", "theta_E"]) == ["theta_E", "e1", "b", "a"]
    table = columns.markdown().splitlines()
    assert len(table) == len(columns.known_columns()) + 2
    assert all(row.count("|") == 5 for row in table)


def test_the_low_resolution_is_described(configure, tmp_path):
    out, _ = simulate(configure(2, n=3, pairs=2, out=tmp_path / "data"))
    assert "low resolution 32 x 32 pixels of 0.202 arcsec" in told(out)


def test_ranges_are_those_of_the_images(undisturbed):
    data, found = read(undisturbed), summary.summarize(undisturbed)
    assert found.counts == {"no_sub": 32, "cdm": 32, "axion": 32}
    assert {column.name for column in found.columns} == set(data.params)
    for column in found.columns:
        values = data.params[column.name]
        values = values[np.isfinite(values)]
        assert column.count == len(values)
        assert (column.low, column.high) == (values.min(), values.max())
        assert column.median == np.median(values)


def test_of_many_images_a_sample_is_kept_and_the_extremes(undisturbed, monkeypatch):
    whole = {column.name: column for column in summary.summarize(undisturbed).columns}
    monkeypatch.setattr(summary, "_KEPT", 30)
    found = summary.summarize(undisturbed)
    assert found.sampled
    for column in found.columns:
        assert len(column.values) < 50
        other = whole[column.name]
        assert (column.count, column.low, column.high) == (other.count, other.low, other.high)


def test_an_unfinished_data_set_says_how_far_it_is(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest |= {"complete": False, "shards": manifest["shards"][:1]}
    write_manifest(copy, manifest)
    assert "not finished: 32 of 96 (33%) images; run the same command again" in told(copy)
    assert "is not finished: 32 of 96" in damages(copy)[0]


def test_a_data_set_without_a_shard_yet(copy):
    for path in copy.glob("shard-*"):
        path.unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    write_manifest(copy, manifest | {"complete": False, "shards": []})
    words = told(copy)
    assert "not finished: 0 of 96" in words
    assert "picture: none, for there are no images yet" in words


def test_skipped_files_of_an_import_are_counted(tmp_path):
    data = foreign(tmp_path / "data", [0, 1], ["non_lens", "unlabelled"])
    assert "skipped 3 files that could not be imported" in told(data)


def test_an_intact_data_set_has_no_damage(undisturbed):
    assert damages(undisturbed) == []


def test_every_damaged_shard_is_named(copy):
    first, second, third = sorted(copy.glob("shard-*"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1
    first.write_bytes(content)
    second.write_bytes(second.read_bytes()[:-1000])
    third.unlink()
    found = damages(copy)
    assert found[0] == f"{first} has another checksum than when it was written"
    assert found[1].startswith(f"{second} is truncated")
    assert found[2].startswith(f"{third} is missing")
    assert "images 32" in told(copy)


def test_pixels_and_shapes_are_verified_though_the_checksum_is_right(tmp_path):
    image = np.ones((4, 1, 8, 8))
    image[3, 0, 0, 0] = np.nan
    data = foreign(tmp_path / "nan", [0, 0, 0, 0], ["a"], image=image)
    assert "1 images in 'image' with NaN" in damages(data)[0]

    folder = foreign(tmp_path / "other", [0] * 4, ["a"], shards=2)
    columns = {"image": np.ones((2, 1, 9, 9), np.float32), "label": np.zeros(2, np.int64)}
    attrs = {"label_names": ["a"], "pixel_scale": 0.1}
    digest = write_shard(folder / "shard-00001.h5", columns, {}, attrs)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert damages(folder) == [f"{folder / 'shard-00001.h5'} is not a shard of this data set"]


# The picture.


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
    assert preview.intact(copy)
    (copy / "preview.png").write_bytes(before[:-10])
    assert not preview.intact(copy)
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
