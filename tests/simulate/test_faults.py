"""Whatever happens to a run, the same command afterwards makes the undisturbed data set."""

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lensphys.ground.errors import InputError
from simulate.run import simulate

ROOT = Path(__file__).parents[2]
KILLS = 20


@pytest.fixture(scope="module")
def tiny(configure):
    """Model 2 in five shards: the fewest of everything that can go wrong."""
    return configure(2, n=15, shard_size=3, seed=3)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory, contents):
    """The files of an undisturbed run."""
    out, _ = simulate(tiny.model_copy(update={"out": tmp_path_factory.mktemp("whole") / "data"}))
    return contents(out)


@pytest.fixture(scope="module")
def start(tiny):
    """Starts a run in a process of its own, in which everything is imported already."""
    context = multiprocessing.get_context("forkserver")
    preload = ["simulate.run", "simulate.dataset.preview", "simulate.backends.torch"]
    context.set_forkserver_preload(preload)

    def run(out, target=simulate):
        process = context.Process(target=target, args=(tiny.model_copy(update={"out": out}),))
        process.start()
        return process

    return run


def test_twenty_kills_at_random_moments_change_no_byte(start, tiny, whole, contents, tmp_path):
    for name in ("first", "second"):  # the first waits for all that is imported
        begin = time.monotonic()
        start(tmp_path / name).join()
        length = time.monotonic() - begin
        assert contents(tmp_path / name) == whole

    moments = random.Random(1)
    killed = interrupted = 0
    out = tmp_path / "data"
    while killed < KILLS:
        process = start(out)
        process.join(moments.uniform(0, length))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        left = contents(out) if out.exists() else {}
        for name in left.keys() & whole.keys() - {"manifest.json"}:
            assert left[name] == whole[name]
        interrupted += bool(left) and left != whole
        if left == whole:
            shutil.rmtree(out)
    assert interrupted
    simulate(tiny.model_copy(update={"out": out}))
    assert contents(out) == whole


def test_kills_of_the_command_and_its_workers_change_no_byte(tiny, whole, contents, tmp_path):
    """The command line itself, with two processes, killed as they work and as it draws."""
    out = tmp_path / "data"
    arguments = f"simulate --model 2 --n 15 --seed 3 --workers 2 --device cpu --out {out}".split()
    command = [sys.executable, str(ROOT / "cli.py"), *arguments, "--set", "shard_size=3"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "env": environment}
    for file in ("manifest.json", "shard-00004.h5"):
        with subprocess.Popen(command, **quiet) as process:
            deadline = time.monotonic() + 120
            while not (out / file).exists() and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.kill()
    done = subprocess.run(command, **quiet, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(out) == whole


def on_a_full_disk(config):
    """No file may grow beyond 30 kB, which fails as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    try:
        simulate(config)
    except InputError as error:
        sys.exit(7 if "make room and run the same command again to go on" in str(error) else 1)


def test_a_full_disk_is_told_and_made_good(start, tiny, whole, contents, tmp_path):
    out = tmp_path / "data"
    process = start(out, on_a_full_disk)
    process.join()
    assert process.exitcode == 7
    assert not out.exists()
    simulate(tiny.model_copy(update={"out": out}))
    assert contents(out) == whole


def truncate(content):
    return content[: len(content) // 2]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncate, flip])
@pytest.mark.parametrize("file", ["shard-00003.h5", "preview.png"])
def test_damaged_files_are_made_again(tiny, whole, contents, tmp_path, damage, file):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / file).write_bytes(damage(whole[file]))
    assert simulate(tiny.model_copy(update={"out": tmp_path})) == (tmp_path, True)
    assert contents(tmp_path) == whole


def test_files_of_someone_else_with_names_of_ours_are_kept(tiny, contents, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "shard-00000.h5").write_text("counts of another instrument")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="no shard is known to be of this configuration"):
        simulate(tiny.model_copy(update={"out": tmp_path}))
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"counts": {"no_sub": 14, "cdm": 0, "axion": 1}},
        {"n": 14},
        {"complete": False},
        {"shards": []},
        {"shards": [{"file": "../shard-00000.h5", "n": 3, "sha256": "0"}] * 2},
    ],
)
def test_a_wrong_manifest_is_made_good(tiny, whole, contents, tmp_path, changes):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    wrong = json.loads(whole["manifest.json"]) | changes
    (tmp_path / "manifest.json").write_text(json.dumps(wrong))
    assert simulate(tiny.model_copy(update={"out": tmp_path})) == (tmp_path, True)
    assert contents(tmp_path) == whole


def test_a_manifest_that_has_changed_is_made_good(tiny, whole, contents, tmp_path):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    path = tmp_path / "manifest.json"
    path.write_text(path.read_text().replace('"n_subhalos": 25', '"n_subhalos": 24'))
    simulate(tiny.model_copy(update={"out": tmp_path}))
    assert contents(tmp_path) == whole


def test_shards_of_another_configuration_are_not_written_over(tiny, whole, tmp_path):
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="is of another configuration"):
        simulate(tiny.model_copy(update={"out": tmp_path, "seed": 77}))


def test_a_run_that_left_no_image_binds_no_other(tiny, whole, contents, tmp_path):
    """The first one fails for its configuration; the corrected command takes its place."""
    out = tmp_path / "data"
    bright = {"source": tiny.source.model_copy(update={"magnitude": -40.0})}
    other = {"observation": "detector", "workers": 1, "out": out}
    with pytest.raises(InputError, match=r"a pixel would count .* electrons"):
        simulate(tiny.model_copy(update=other | bright))
    assert not out.exists()
    simulate(tiny.model_copy(update={"out": out}))
    assert contents(out) == whole
