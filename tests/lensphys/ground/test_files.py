"""Files are written whole or not at all."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from lensphys.ground.errors import InputError
from lensphys.ground.files import (
    advise_on_disk,
    check_output,
    check_readable,
    path_inside,
    read_json,
    replacing,
    settle,
    sha256,
    write_text,
)


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


@pytest.mark.parametrize(
    "name",
    [
        "../mine.txt", "/etc/passwd", "a/../../mine.txt", "link", "folder-link/mine.txt", "circle",
        "", ".", "..", "a/..", "nul\0", "x" * 5000, None, 7, ["a"], b"a",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path: Path, name: object) -> None:
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "mine.txt").write_text("my thesis")
    (folder / "link").symlink_to(tmp_path / "mine.txt")
    (folder / "folder-link").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    with pytest.raises(InputError, match="not inside of it"):
        path_inside(folder, name)


def test_a_name_of_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    for name in ("folder", "pipe"):
        with pytest.raises(InputError, match="no regular file"):
            path_inside(tmp_path, name)


def test_a_name_inside_of_its_folder_is_a_path_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    write_text(tmp_path / "data" / "there", "x")
    (tmp_path / "data" / "link").symlink_to("there")
    for folder in (tmp_path / "data", tmp_path / "linked"):
        for name in ("there", "link", "not-yet", "below/not-yet"):
            assert path_inside(folder, name) == folder / name


def test_a_name_is_shown_without_escape_sequences(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        path_inside(tmp_path, "../\x1b]0;pwned\x07")
    assert "\x1b" not in str(caught.value)


def _is_page(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith("page")


def _check(path: Path, **settings: Any) -> Path:
    return check_output(path, "page", _is_page, **settings)


def test_an_output_goes_to_a_new_file_or_over_one_of_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    assert _check(path) == path
    write_text(tmp_path / "out", "page of old")
    link = tmp_path / "link"
    link.symlink_to("out")
    assert _check(link) == tmp_path / "out"


@pytest.mark.parametrize("content", [b"", b"weights", b"\xff\xfe"])
def test_an_output_replaces_nothing_else_unless_it_is_asked_to(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is no page; .* --overwrite"):
        _check(path)
    assert _check(path, overwrite=True) == path


def test_an_output_replaces_no_input(tmp_path: Path) -> None:
    path = tmp_path / "in"
    write_text(path, "page")
    (tmp_path / "hard").hardlink_to(path)
    (tmp_path / "soft").symlink_to(path)
    for name in ("in", "hard", "soft"):
        with pytest.raises(InputError, match="one of the inputs"):
            _check(tmp_path / name, inputs=[tmp_path / "gone", path])


def test_an_output_is_a_file_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    os.mkfifo(tmp_path / "pipe")
    refused = {
        tmp_path: "is a folder",
        tmp_path / "file" / "out": "is no folder",
        tmp_path / "circle": "cannot write",
        tmp_path / ("n" * 300): "cannot write",
        tmp_path / "pipe": "is a device",
        Path(os.devnull): "is a device",
    }
    for path, words in refused.items():
        with pytest.raises(InputError, match=words):
            _check(path, overwrite=True)


def test_advice_on_a_disk_that_takes_no_more():
    assert advise_on_disk(errno.ENOSPC) == advise_on_disk(errno.EDQUOT) == "make room"
    assert advise_on_disk(errno.EROFS) == "make its folder writable"
    assert advise_on_disk(errno.EACCES) is None
    assert advise_on_disk(None) is None


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path: Path) -> None:
    check_readable(tmp_path / "missing")
    (tmp_path / "file").write_text("content")
    check_readable(tmp_path / "file")
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory; make it readable"):
        check_readable(tmp_path)
