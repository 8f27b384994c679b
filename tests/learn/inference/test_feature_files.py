"""Tables of features."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from learn.inference import feature_files
from learn.inference.feature_files import (
    FeatureTable,
    choose_table,
    find_data_set,
    is_table,
    write_table,
)
from lensphys.ground.errors import InputError

FEATURES = np.array([[1 / 3, -2e-8, np.pi], [np.nan, np.nan, np.nan]], np.float32)


def table(labelled: bool = True) -> FeatureTable:
    label = np.array([1, 0]) if labelled else None
    names = ["no_sub", "cdm"] if labelled else []
    files, flags = ["data, set", "ä.fits"], ["", "not computed"]
    return FeatureTable(FEATURES, files, np.array([7, 0]), flags, label, names, "runs/mae")


def test_csv_holds_the_digits_that_make_the_same_numbers(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "index", "label", "flag", *(f"feature_{i}" for i in range(3))]
    found = np.array([[row[f"feature_{i}"] for i in range(3)] for row in rows], np.float32)
    np.testing.assert_array_equal(found, FEATURES)
    assert [(row["file"], row["index"], row["label"], row["flag"]) for row in rows] == [
        ("data, set", "7", "cdm", ""),
        ("ä.fits", "0", "no_sub", "not computed"),
    ]


def test_hdf5_holds_one_array_of_features(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "a.h5")
    write_table(table(labelled=False), tmp_path / "b.hdf5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["features"][()], FEATURES)
        assert file["file"].asstr()[()].tolist() == ["data, set", "ä.fits"]
        assert file["flag"].asstr()[()].tolist() == ["", "not computed"]
        assert (file["index"][()].tolist(), file["label"][()].tolist()) == ([7, 0], [1, 0])
        assert list(file.attrs["label_names"]) == ["no_sub", "cdm"]
        assert file.attrs["encoder"] == "runs/mae"
    with h5py.File(tmp_path / "b.hdf5") as file:
        assert "label" not in file


def test_parquet_holds_a_column_for_each_feature(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(table(), tmp_path / "a.parquet")
    found = parquet.read_table(tmp_path / "a.parquet")
    assert found.column_names[:4] == ["file", "index", "label", "flag"]
    columns = [found[f"feature_{i}"].to_numpy() for i in range(3)]
    np.testing.assert_array_equal(np.stack(columns, 1), FEATURES)
    assert found["label"].to_pylist() == ["cdm", "no_sub"]


@pytest.mark.parametrize("ending", [".h5", ".csv", ".parquet"])
def test_a_table_is_known_again_and_other_files_are_not_replaced(
    tmp_path: Path, ending: str
) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    place = tmp_path / f"a{ending}"
    write_table(table(), choose_table(place, []))
    assert is_table(place)
    assert choose_table(place, []) == place
    with pytest.raises(InputError, match="is one of the inputs"):
        choose_table(place, [place])
    place.write_bytes(b"file,index\nmine,0\n")
    with pytest.raises(InputError, match="is no table of features; choose another --out"):
        choose_table(place, [])
    assert choose_table(place, [], overwrite=True) == place


def test_names_that_are_no_table_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"ends in \.h5, \.hdf5, \.parquet, \.csv"):
        choose_table(tmp_path / "a.fits", [])
    with pytest.raises(InputError, match="is a folder; name a table in it"):
        choose_table(tmp_path, [])
    monkeypatch.setattr(feature_files, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"install it with `pip install 'lensphys\[parquet\]'`"):
        choose_table(tmp_path / "a.parquet", [])


def test_a_table_that_cannot_be_written_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a.csv"
    write_table(table(), place)
    before = place.read_bytes()

    def fail(table: FeatureTable, path: Path) -> None:
        path.write_text("file,ind")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_files, "_write_csv", fail)
    with pytest.raises(InputError, match=r"cannot write .*No space left on device; make room"):
        write_table(table(), place)
    assert place.read_bytes() == before
    assert list(tmp_path.iterdir()) == [place]


def test_a_data_set_stands_alone(model2: Path, tmp_path: Path) -> None:
    assert find_data_set([model2]) == model2
    assert find_data_set([tmp_path, tmp_path]) is None
    with pytest.raises(InputError, match="is a data set; give it alone"):
        find_data_set([tmp_path, model2])
