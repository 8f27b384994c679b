"""Disk and memory are looked at before the first image is drawn."""

import pytest

from lensphys.ground import room as room_of_machine
from lensphys.ground.errors import InputError
from simulate import room
from simulate.room import check_room_in_memory, check_room_on_disk
from simulate.run import simulate


def test_a_data_set_larger_than_the_disk_is_refused_and_leaves_nothing(configure, tmp_path):
    config = configure(2, n=10**12, out=tmp_path / "data")
    with pytest.raises(
        InputError, match=r"1,000,000,000,000 images need 16\.8 PB of disk, .* are f"
    ):
        simulate(config)
    assert not (tmp_path / "data").exists()


def test_what_is_there_needs_no_room(configure, tmp_path, monkeypatch):
    out, _ = simulate(configure(2, n=6, shard_size=3, out=tmp_path / "data"))
    monkeypatch.setattr(room, "check_disk", lambda folder, need, what, advice: needs.append(need))
    needs = []
    check_room_on_disk(configure(2, n=6, shard_size=3), out)
    check_room_on_disk(configure(2, n=6, shard_size=3), tmp_path / "other")
    assert abs(needs[0]) < 0.2 * needs[1]


def test_millions_of_files_are_refused(configure, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "check_disk", lambda *arguments: None)
    with pytest.raises(InputError, match=r"are 5,000,000 files, .* with --set shard_size=10"):
        check_room_on_disk(configure(2, n=5_000_000, shard_size=1), tmp_path)


def test_processes_and_shards_larger_than_memory_are_refused(configure, monkeypatch):
    monkeypatch.setattr(room_of_machine, "free_memory", lambda: 2**30)
    check_room_in_memory(configure(2, n=10**5, shard_size=1024), 2)
    with pytest.raises(InputError, match=r"1,000 processes .* need .* GB of memory, 1.07 GB are"):
        check_room_in_memory(configure(2, n=10**7, shard_size=1024), 1000)
    with pytest.raises(InputError, match=r"shards of 1,000,000 images need .* shard_size=1024"):
        check_room_in_memory(configure(2, n=10**6, shard_size=10**6), 1)
