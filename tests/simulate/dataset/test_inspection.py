"""A data set is described in words, and damage to it is named."""

import json

import numpy as np
from rich.console import Console

from simulate.dataset import columns
from simulate.dataset.inspection import inspect
from simulate.dataset.padding import COLUMNS
from simulate.dataset.summary import summarize
from simulate.run import simulate
from simulate.shards import write_manifest, write_shard
from tests.simulate.dataset.reports import damages, foreign, told


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
    monkeypatch.setattr("simulate.dataset.preview.write_preview", lambda folder, summary: folder)
    rng = np.random.default_rng(0)
    params = {name: -1e-3 * rng.uniform(0.1, 1, 2) for name in columns.known_columns()}
    console = Console(width=80)
    with console.capture() as capture:
        inspect(foreign(tmp_path / "data", [0, 0], ["a"], params), console)
    lines = capture.get().splitlines()
    for name in columns.known_columns():
        assert any(line.split()[:1] == [name] for line in lines), name


def test_the_low_resolution_is_described(configure, tmp_path):
    out, _ = simulate(configure(2, n=3, pairs=2, out=tmp_path / "data"))
    assert "low resolution 32 x 32 pixels of 0.202 arcsec" in told(out)


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
    manifest = json.loads((data / "manifest.json").read_text())
    for other in ("x", {"n": "x"}, {"n": [None]}, 2.5):
        (data / "manifest.json").write_text(json.dumps(manifest | {"skipped": other}))
        assert "state complete" in told(data)


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
    assert found[0].startswith(f"{first} has another checksum than when it was written; run the")
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
    attrs = {"label_names": ["a"], "pixel_scale": 0.1, "unit": "counts", "preset": "imported"}
    attrs["model"] = "unknown"
    digest = write_shard(folder / "shard-00001.h5", columns, {}, attrs)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][1]["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert damages(folder) == [f"{folder / 'shard-00001.h5'} is not a shard of this data set"]


def test_padding_is_counted(tmp_path):
    edges = {name: np.array([0.0, 2.0, 1.0]) for name in COLUMNS}
    data = foreign(tmp_path / "data", [0, 0, 0], ["a"], edges)
    ny, nx = summarize(data).shapes["image"][-2:]
    pixels = 2 * ny * nx - (ny - 4) * (nx - 4) - (ny - 2) * (nx - 2)
    part = pixels / (3 * ny * nx)
    assert f"padding around 2 images: {pixels} pixels, {part:.1%} of all" in told(data)
    none = foreign(tmp_path / "none", [0], ["a"], {name: np.zeros(1) for name in COLUMNS})
    assert "padding around" not in told(none)
