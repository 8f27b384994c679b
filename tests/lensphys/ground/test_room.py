"""Memory and disk are looked at before work begins."""

import subprocess
import sys

import pytest

from lensphys.ground import room
from lensphys.ground.errors import InputError
from lensphys.ground.room import check_disk, check_memory, describe_bytes, free_memory


def test_free_memory_is_that_of_the_machine_at_most():
    free, machine = free_memory(), room._free_of_machine()
    assert free is not None
    assert machine is not None
    assert 0 < free < 1.1 * machine


def test_a_limit_of_the_process_is_seen():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30));"
        "from lensphys.ground.room import free_memory; print(free_memory())"
    )
    free = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    assert 2**28 < free < 2**30


def test_a_limit_of_a_container_is_seen(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("2000000\n")
    (tmp_path / "memory.stat").write_text("anon 7\ninactive_file 500000\n")
    monkeypatch.setattr(
        room, "_GROUPS", ((tmp_path, "memory.max", "memory.current", "inactive_file"),)
    )
    assert free_memory() == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 1_500_000


def test_a_system_that_does_not_tell_refuses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "nothing")
    monkeypatch.setattr(room, "_GROUPS", ())
    monkeypatch.setattr(room, "_free_of_process", lambda: None)
    assert free_memory() is None
    check_memory(1e30, "images", "make fewer")


def test_what_does_not_fit_is_refused_with_the_numbers(tmp_path):
    with pytest.raises(InputError, match=r"images need 1e\+12 PB of memory, .* are free; fewer"):
        check_memory(1e27, "images", "fewer")
    with pytest.raises(InputError, match=r"images need 16 PB of disk, .*B are free at .*; fewer"):
        check_disk(tmp_path / "not" / "yet", 16e15, "images", "fewer")
    check_memory(1.0, "images", "fewer")
    check_disk(tmp_path, 1.0, "images", "fewer")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (1500, "1.5 kB"), (4e9, "4 GB"), (2**70 * 4, "4.72e+06 PB")],
)
def test_bytes_are_told_in_three_digits(count, words):
    assert describe_bytes(count) == words
