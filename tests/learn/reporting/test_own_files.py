"""Files that a report reads: inside of the folder, regular, and of a size."""

import os
from pathlib import Path

import pytest

from learn.reporting.own_files import LARGEST, find_file, find_files
from lensphys.ground.errors import InputError


def test_a_file_is_found_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert find_file(tmp_path, "a.json") == tmp_path / "a.json"
    assert find_file(tmp_path, "b.json") is None
    assert find_files(tmp_path, ".json") == [tmp_path / "a.json"]


def test_a_link_out_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("{}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a.json").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="not inside of it"):
        find_file(tmp_path / "run", "a.json")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="no regular file"):
        find_files(tmp_path, ".png")


@pytest.mark.parametrize("ending", LARGEST)
def test_a_file_that_is_too_large_is_refused_with_the_limit(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    with path.open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(InputError, match=rf"has 1 GB, and a report reads \d+ MB .* a \{ending}"):
        find_file(tmp_path, path.name)
