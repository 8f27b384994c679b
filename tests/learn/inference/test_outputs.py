"""Predictions replace no input, and nothing that this program has not made."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from learn.inference.outputs import (
    FORMATS,
    check_early,
    check_evaluation,
    choose_folder,
    choose_table,
    drop_outputs,
    is_image,
    is_table,
    name_stem,
    writing,
)
from lensphys.ground.errors import InputError


def table(path: Path, *names: str) -> Path:
    columns = names or ("file", "index", "p_a", "n_bad_pixels", "flag")
    rows = Table({name: ["a"] if name == "file" else [1.0] for name in columns})
    rows.write(path, format=FORMATS[path.suffix])
    return path


def image(path: Path, *keys: str) -> Path:
    header = fits.Header(dict.fromkeys(keys or ("NBADPIX", "ORIGFILE", "ORIGIDX"), 0))
    fits.writeto(path, np.zeros((4, 4)), header)
    return path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits"])
def test_a_table_is_known_by_its_columns(ending: str) -> None:
    out = table(Path(f"a{ending}"))
    assert is_table(out)
    assert is_table(table(Path(f"b{ending}"), "file", "index", "p_a", "n_bad_pixels")), "earlier"
    assert not is_table(table(Path(f"c{ending}"), "file", "index", "p_a"))
    assert not is_table(table(Path(f"d{ending}"), "file", "index", "flag", "n_bad_pixels", "mine"))
    assert choose_table(out, [Path("x.fits")], overwrite=False) == out


@pytest.mark.parametrize("ending", [".csv", ".ecsv", ".fits"])
def test_a_table_replaces_no_other_file(ending: str) -> None:
    mine = table(Path(f"mine{ending}"), "name", "z")
    for path in (mine, Path(f"b{ending}"), Path(f"empty{ending}")):
        if path != mine:
            path.write_bytes(b"\xff\x00" * 9 if path.stem == "b" else b"")
        for choose in (choose_table, check_early):
            with pytest.raises(InputError, match=r"is no table of predictions; .* --overwrite"):
                choose(path, [], overwrite=False)
        assert choose_table(path, [], overwrite=True) == path
    ours = table(Path(f"ours{ending}"))
    with pytest.raises(InputError, match="one of the inputs"):
        choose_table(ours, [Path("x"), ours], overwrite=False)


def test_a_table_is_a_file_of_a_known_kind() -> None:
    for name, words in {
        "a.txt": "ends in .csv",
        os.devnull: "ends in .csv",
        ".": "is a folder; name a table in it: predictions.csv",
    }.items():
        with pytest.raises(InputError, match=re.escape(words)):
            choose_table(Path(name), [], overwrite=True)
    Path("device.csv").symlink_to(os.devnull)
    with pytest.raises(InputError, match="is a device"):
        choose_table(Path("device.csv"), [], overwrite=True)
    assert choose_table(None, [], overwrite=False) == Path("predictions.csv")


def test_images_go_to_no_folder_of_other_things() -> None:
    for name in ("data", "run", "inputs", "out"):
        Path(name).mkdir()
    Path("data/manifest.json").touch()
    Path("run/config.yaml").touch()
    cutout = image(Path("inputs/a.fits"))
    Path("file").touch()
    for name, words in {
        "data": "folder of a data set",
        "run": "folder of a run",
        "inputs": "folder of inputs",
        "file": "name a folder",
        "x.csv": "name a folder",
    }.items():
        with pytest.raises(InputError, match=words):
            choose_folder(Path(name), "superres", [cutout], factor=2, overwrite=False)
    for overwrite in (False, True):
        out = choose_folder(Path("out"), "superres", [cutout], factor=2, overwrite=overwrite)
        assert out == Path("out")
    assert choose_folder(Path("data"), "superres", [cutout], factor=2, overwrite=True).is_dir()


def test_images_replace_no_image_of_another_program() -> None:
    Path("out").mkdir()
    cutout, again = Path("a.fits"), Path("out/a_x2.fits")
    image(again)
    assert is_image(again)
    choose_folder(Path("out"), "superres", [cutout], factor=2, overwrite=False)
    image(Path("out/other_x2.fits"), "NBADPIX")
    choose_folder(Path("out"), "superres", [cutout], factor=2, overwrite=False)
    mine = image(Path("out/a-00003_x2-2.fits"), "MINE")
    with pytest.raises(InputError, match="is no super-resolved image"):
        choose_folder(Path("out"), "superres", [cutout], factor=2, overwrite=False)
    choose_folder(Path("out"), "superres", [cutout], factor=2, overwrite=True)
    with pytest.raises(InputError, match=r"holds a-00003_x2-2\.fits, an input"):
        choose_folder(Path("out"), "superres", [cutout, mine], factor=2, overwrite=True)


def test_outputs_of_an_earlier_run_are_no_inputs_of_the_next() -> None:
    Path("fine").mkdir()
    cutout, fine, left = image(Path("a.fits"), "MINE"), image(Path("fine/a_x2.fits")), Path("b.csv")
    circle = Path("circle.fits")
    circle.symlink_to("circle.fits")
    assert drop_outputs([cutout, fine, left, circle], Path("fine")) == [cutout, left, circle]
    choose_folder(Path("fine"), "superres", [circle], factor=2, overwrite=False)
    os.mkfifo("fine/pipe.fits")
    assert drop_outputs([Path("fine/pipe.fits")], Path("fine")) == [Path("fine/pipe.fits")]
    results = table(Path("t.fits"))
    assert drop_outputs([cutout, results], results) == [cutout]


def test_an_evaluation_goes_to_a_folder_of_its_own() -> None:
    for name in ("data", "run", "mine", "ours"):
        Path(name).mkdir()
    Path("data/manifest.json").touch()
    Path("run/config.yaml").touch()
    Path("mine/roc.png").touch()
    Path("file").touch()
    for name, words in {
        "data": "of a data set",
        "run": "of a run",
        "mine": "holds roc.png and is no evaluation",
        "file": "is a file",
    }.items():
        with pytest.raises(InputError, match=words):
            check_evaluation(Path(name), ["roc"], overwrite=False)
        if name != "mine":
            with pytest.raises(InputError, match=words):
                check_evaluation(Path(name), ["roc"], overwrite=True)
    check_evaluation(Path("mine"), ["roc"], overwrite=True)
    check_evaluation(Path("mine"), ["other"], overwrite=False)
    Path("ours/roc.png").touch()
    Path("ours/evaluation.json").write_text('{"task": "find", "run": "r", "data": "d"}')
    check_evaluation(Path("ours"), ["roc"], overwrite=False)


def test_the_name_of_an_image_keeps_its_dots() -> None:
    assert name_stem(Path("150.123_2.45.fits")) == "150.123_2.45"
    assert name_stem(Path("ps0.120.fits.fz[SCI]")) == "ps0.120"
    assert name_stem(Path("data.v2")) == "data.v2"


def test_a_long_name_leaves_room_for_endings() -> None:
    assert name_stem(Path("a.fits.gz")) == "a"
    assert len(name_stem(Path("é" * 120 + ".fits")).encode()) <= 180


def test_a_full_disk_is_told_in_a_line() -> None:
    with (
        pytest.raises(InputError, match="cannot write to out: No space left"),
        writing(Path("out")),
    ):
        raise OSError(28, "No space left on device")
