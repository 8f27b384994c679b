"""Files are written whole or not at all."""

import hashlib
from pathlib import Path

import pytest

from lensphys.ground.files import read_json, replacing, settle, sha256, write_text


def test_the_file_is_there_once_all_is_written(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half" * (1 // 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_checksum_is_that_of_the_content(tmp_path):
    write_text(tmp_path / "a.txt", "galaxy")
    assert sha256(tmp_path / "a.txt") == hashlib.sha256(b"galaxy").hexdigest()


def test_a_folder_can_be_waited_for(tmp_path):
    settle(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": ', "[" * 100_000])
def test_a_json_file_without_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011 - each parser has words of its own
        read_json(path)


def test_a_json_file_gives_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    path.write_text('{"a": [1, null]}')
    assert read_json(path) == {"a": [1, None]}
