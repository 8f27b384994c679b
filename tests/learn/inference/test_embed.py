"""Features of a data set, and of images in files."""

import shlex
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cli
from learn import load_encoder
from learn.config import EmbedConfig
from learn.inference.embed import embed
from lensphys.ground.config import load_config, shipped_config
from lensphys.ground.errors import InputError
from simulate import shards


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def embedded(run: Path, *inputs: Path, **options: Any) -> tuple[dict[str, Any], list[str]]:
    path = shipped_config("embed", "embed", "command")
    config = load_config(EmbedConfig, path, **{"device": "cpu", **options})
    lines: list[str] = []
    out, count = embed(run, inputs, config, warn=lines.append)
    assert out == Path("features.h5")
    with h5py.File(out) as file:
        found = {name: values[()] for name, values in file.items()}
    assert len(found["index"]) == count
    return found, lines


def test_a_data_set_keeps_its_labels_and_its_order(encoder_run: Path, model2: Path) -> None:
    data = shards.read(model2)
    found, lines = embedded(encoder_run, model2)
    assert lines == []
    expected = load_encoder(encoder_run).features_of(data).numpy()
    np.testing.assert_array_equal(found["features"], expected)
    np.testing.assert_array_equal(found["label"], data.label)
    np.testing.assert_array_equal(found["index"], np.arange(60))
    assert set(found["file"]) == {str(model2).encode()}


def test_files_of_the_same_images_have_the_same_features(encoder_run: Path, model2: Path) -> None:
    images = shards.read(model2).image[:5]
    Path("folder").mkdir()
    np.save("folder/a.npy", images[:3, 0])
    np.save("folder/b.npy", images[3:])
    expected = load_encoder(encoder_run).features(images).numpy()
    for _ in range(2):  # the table of the first time is no image
        found, _ = embedded(encoder_run, Path("folder"), pixel_scale=0.101, batch_size=2)
        np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-5)
        assert found["index"].tolist() == [0, 1, 2, 0, 1]
        assert found["file"][3] == b"folder/b.npy"
        assert "label" not in found


def test_files_on_other_pixels_are_resampled_and_broken_ones_named(
    encoder_run: Path, model2: Path
) -> None:
    fine = np.kron(shards.read(model2).image[0, 0], np.ones((2, 2))) / 4
    np.save("fine.npy", fine)
    np.save("blank.npy", np.zeros((64, 64)))
    Path("broken.npy").write_bytes(b"nothing")
    names = map(Path, ("fine.npy", "blank.npy", "broken.npy"))
    found, lines = embedded(encoder_run, *names, pixel_scale=0.0505)
    assert found["flag"].tolist() == [b"", b"not computed"]
    assert np.isnan(found["features"][1]).all()
    expected = load_encoder(encoder_run).features(shards.read(model2).image[0]).numpy()
    np.testing.assert_allclose(found["features"][:1], expected, rtol=1e-3, atol=1e-3)
    assert any("resampled from 0.0505 to 0.101 arcsec" in line for line in lines)
    assert any(line.startswith("skipped broken.npy") for line in lines)


def test_where_nothing_can_be_read_nothing_is_written(encoder_run: Path, tmp_path: Path) -> None:
    Path("broken.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"nothing to embed: broken\.npy"):
        embedded(encoder_run, Path("broken.npy"))
    assert not Path("features.h5").exists()


def test_the_command_line(
    encoder_run: Path, model2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(shlex.split(f"embed {encoder_run} {model2} --out a/features.csv --device cpu"))
    assert not stop.value.code
    assert capsys.readouterr().out == "wrote a/features.csv (60 images)\n"
    assert len(Path("a/features.csv").read_text().splitlines()) == 61
