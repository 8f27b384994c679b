"""Files of lenses: safe names, rows that come back, nothing of others replaced."""

import json

import pytest

from learn.modelling.tables.row_files import (
    LENSES,
    MAPS,
    PICTURE,
    ROW,
    check_lens,
    file_stem,
    is_complete,
    lens_file,
    read_row,
    read_rows,
    write_row,
)
from learn.modelling.tables.rows import Row
from lensphys.ground.errors import InputError

NAMES = [
    "J0029-0055", "SDSS J0029", "SDSS_J0029", "a/b", "a_b", "../../etc/passwd", ".hidden", "-rf",
    "x" * 300, "x" * 301, "é", "ü", "", "a\0b", "CON:", "\udcff",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / LENSES).mkdir()
    return tmp_path


def test_every_name_has_a_file_of_its_own_inside_of_the_folder(folder):
    stems = [file_stem(name) for name in NAMES]
    assert len(set(stems)) == len(NAMES)
    assert stems[0] == "J0029-0055"
    for name in NAMES:
        path = lens_file(folder, name, MAPS)
        assert path.parent == folder / LENSES
        assert len(path.name) < 100
        assert not path.name.startswith((".", "-"))
        path.touch()


def test_a_row_comes_back_as_it_was(folder):
    values = {"theta_E": 1.25, "converged": True, "z_lens": None, "flux_unit": "adu"}
    row = Row(
        "Jörg \udcff",
        values,
        {"theta_E": "arcsec"},
        flags=["poor fit"],
        notes=["a \x1b note"],
        origin={"digest": "abc", "files": ["a.fits"]},
    )
    write_row(folder, row)
    assert read_rows(folder) == [row]


def test_a_row_that_is_damaged_is_named(folder):
    write_row(folder, Row("a"))
    path = lens_file(folder, "a", ROW)
    content = json.loads(path.read_text())
    for broken in (
        path.read_text()[:-9],
        "[]",
        json.dumps(content | {"creator": "someone"}),
        json.dumps(content | {"name": "b"}),
        json.dumps({k: v for k, v in content.items() if k != "values"}),
        json.dumps(content | {"extra": 1}),
        json.dumps(content | {"values": [1]}),
        json.dumps(content | {"values": {"theta_E": [1]}}),
        json.dumps(content | {"flags": "neighbour"}),
        json.dumps(content | {"units": {"theta_E": 3}}),
    ):
        path.write_text(broken)
        with pytest.raises(InputError, match=r"a\.json is damaged; delete it and run"):
            read_row(path)


def test_files_of_others_are_not_replaced(folder):
    check_lens(folder, "a")
    for ending in (MAPS, PICTURE, ROW):
        path = lens_file(folder, "a", ending)
        path.write_bytes(b"something else")
        with pytest.raises(InputError, match="is no file of a lens model"):
            check_lens(folder, "a")
        check_lens(folder, "a", overwrite=True)
        path.unlink()
    write_row(folder, Row("a"))
    check_lens(folder, "a")


def test_a_lens_is_complete_with_all_of_its_files(folder):
    row = Row("a")
    for ending in (MAPS, PICTURE):
        assert not is_complete(folder, row)
        lens_file(folder, "a", ending).touch()
    assert is_complete(folder, row)
    assert not is_complete(folder, Row("a", reason="no WCS"))
