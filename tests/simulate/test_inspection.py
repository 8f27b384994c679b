"""What a data set tells about itself, and what is found to be wrong with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from simulate import preview, summary
from simulate.inspection import inspect, verify
from simulate.run import simulate
from simulate.shards import read, write_shard


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
        "unit 2 e-/s shards 3, with all files 1.",
        "state complete",
        "theta_E = 1.28",
        f"picture: {copy / 'preview.png'}",
    ):
        assert part in words
    assert "low resolution" not in words
    assert "skipped" not in words


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
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "not finished: 32 of 96 (33%) images; run the same command again" in told(copy)


def test_a_data_set_without_a_shard_yet(copy):
    for path in copy.glob("shard-*"):
        path.unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"complete": False, "shards": []}))
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


def labels_of(figure):
    return [ax.get_xlabel() for ax in figure.axes]


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
    panels = labels_of(figure)[labels_of(figure).index("images") + 1 :]
    assert len(panels) == 19
    assert panels[0] == "telling"
    assert "constant" not in panels
    words = words_of(figure)
    assert "Parameters that vary too: " in words
    for name in params.keys() - {"constant"}:
        assert name in panels or name in words or f"{name} (b)" in panels


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
    assert bars == ["flux per pixel [counts]", "from the sky to the peak of each image"]


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_flat_and_empty_images_can_be_drawn(tmp_path, drawn, value):
    drawn(foreign(tmp_path / "data", [0] * 3, ["a"], image=np.full((3, 1, 8, 8), value)))
