"""A folder is held by one process at a time."""

import os
import subprocess
import sys
import threading
import time

import pytest

from lensphys.ground.errors import InputError
from lensphys.ground.files import write_text
from lensphys.ground.locks import call_in_turn, hold, hold_in_turn, replacing_alone

LEFTOVER = f".shard.h5.{'0' * 32}.tmp"


def test_a_folder_is_made_and_kept_with_what_is_in_it(tmp_path):
    folder = tmp_path / "a" / "b"
    with hold(folder):
        write_text(folder / "c", "")
    assert (folder / "c").is_file()


def test_a_folder_made_in_vain_is_removed(tmp_path):
    with pytest.raises(RuntimeError), hold(tmp_path / "a"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with hold(tmp_path):
        pass
    assert tmp_path.is_dir(), "it was there before"


def test_a_second_holder_is_refused_and_the_first_undisturbed(tmp_path):
    with hold(tmp_path / "a"):
        with (
            pytest.raises(InputError, match=r"another process is writing to .*a; wait for it"),
            hold(tmp_path / "a"),
        ):
            pass
        assert (tmp_path / "a").is_dir()


def test_a_killed_holder_holds_no_more(tmp_path):
    code = f"""
import os, pathlib
from lensphys.ground.locks import hold
with hold(pathlib.Path({str(tmp_path)!r})):
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    with hold(tmp_path):
        pass


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / LEFTOVER).touch()
    (tmp_path / ".other.tmp").touch()
    with hold(tmp_path):
        assert not (tmp_path / LEFTOVER).exists()
        (tmp_path / LEFTOVER).touch()
    assert [path.name for path in tmp_path.iterdir()] == [".other.tmp"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(InputError, match=r"cannot write to .*a: File exists"), hold(tmp_path / "a"):
        pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="permission denied"), hold(tmp_path):
        pass


def test_holders_in_turn_wait_for_one_another(tmp_path):
    order = []

    def second():
        with hold_in_turn(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with hold_in_turn(tmp_path):
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_a_single_file_is_replaced_and_what_was_left_of_it_removed(tmp_path):
    left, other = tmp_path / LEFTOVER, tmp_path / f".shard.h5.old.{'0' * 32}.tmp"
    for path in (left, other):
        path.touch()
    with hold(tmp_path / "held"), replacing_alone(tmp_path / "shard.h5") as temporary:
        temporary.touch()
        assert not left.exists()
    assert (tmp_path / "shard.h5").is_file()
    assert other.exists()


def test_a_single_file_is_replaced_in_a_folder_that_is_held(tmp_path):
    with hold(tmp_path):
        (tmp_path / LEFTOVER).touch()
        with replacing_alone(tmp_path / "shard.h5") as temporary:
            temporary.touch()
            assert (tmp_path / LEFTOVER).exists(), "the holder may be writing it"
    assert (tmp_path / "shard.h5").is_file()


@pytest.mark.parametrize("leaves", [True, False])
def test_a_call_waits_for_a_folder_that_another_process_holds(tmp_path, leaves):
    began, end, notes = threading.Event(), threading.Event(), []

    def other():
        with hold(tmp_path / "a"):
            began.set()
            end.wait(20)
            if leaves:
                write_text(tmp_path / "a" / "b", "made")

    def mine():
        with hold(tmp_path / "a"):
            return [path.name for path in (tmp_path / "a").iterdir()]

    def note(line):
        notes.append(line)
        end.set()

    thread = threading.Thread(target=other)
    thread.start()
    began.wait(20)
    assert call_in_turn(mine, note) == (["b"] if leaves else [])
    thread.join()
    assert notes == [f"waiting for another process that works in {tmp_path / 'a'} ..."] * len(notes)
    assert notes


def test_a_call_goes_on_when_the_holder_is_killed(tmp_path):
    code = (
        "import pathlib, sys, time; from lensphys.ground.locks import hold\n"
        "with hold(pathlib.Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        def mine():
            with hold(tmp_path / "a"):
                return "mine"

        assert call_in_turn(mine, lambda line: holder.kill()) == "mine"
