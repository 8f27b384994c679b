"""Files are written whole or not at all."""

import hashlib

import pytest

from lensphys.ground.files import replacing, settle, sha256, write_text


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
