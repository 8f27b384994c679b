"""Workers, and their deaths: on this machine and on a Dask cluster."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lensphys.ground.errors import InputError
from simulate import shards, workers
from simulate.run import simulate

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def square(number):
    return number**2


def die_once(folder, number):
    """Kills its process the first time that it is called for an odd number."""
    mark = folder / str(number)
    if number % 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


# This machine.


def test_what_a_dead_process_leaves_is_done_by_a_fresh_pool(tmp_path):
    done = dict(workers.on_processes(functools.partial(die_once, tmp_path), [0, 1, 2, 4], 2))
    assert done == {0: 0, 1: 1, 2: 4, 4: 16}


def test_processes_that_always_die_are_given_up_after_three_pools():
    with pytest.raises(InputError, match=r"die again and again.*with fewer --workers"):
        list(workers.on_processes(die, [1], 1))


def test_what_goes_wrong_in_a_process_is_raised_here():
    with pytest.raises(TypeError, match="unsupported operand"):
        list(workers.on_processes(square, ["two"], 1))


PREPARED = []


def note_process(folder):
    """Notes in which process everything is prepared."""
    PREPARED.append(os.getpid())
    (folder / str(os.getpid())).touch()


def prepared_in(number):
    """The process that prepared what this one has, and this one."""
    return PREPARED, os.getpid()


def refuse():
    raise InputError("this describes no lens")


def test_one_process_prepares_what_all_workers_have(tmp_path):
    ready = []
    prepare = functools.partial(note_process, tmp_path)
    work = workers.on_processes(prepared_in, range(8), 2, prepare, lambda: ready.append(1))
    done = list(work)
    (server,) = (int(path.name) for path in tmp_path.iterdir())
    assert len(done) == 8
    assert all(prepared == [server] != [here] for _, (prepared, here) in done)
    assert ready == [1]


def test_what_cannot_be_prepared_is_raised_here_before_anything_is_ready():
    ready = []
    with pytest.raises(InputError, match="this describes no lens"):
        list(workers.on_processes(square, [1], 2, refuse, lambda: ready.append(1)))
    assert ready == []


def test_no_process_is_left_when_the_work_is_given_up():
    with contextlib.closing(workers.on_processes(square, range(20), 2)) as work:
        next(work)
    assert not workers.multiprocessing.active_children()


def processes_of(session):
    """The processes of a session that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = status.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append(int(status.parent.name))
    return found


def begin_session(out):
    """A run of the command with two workers, in a session of its own, that has begun to write."""
    line = f"simulate --model 2 --n 100000 --workers 2 --device cpu --set shard_size=64 --out {out}"
    command = [sys.executable, str(ROOT / "cli.py"), *line.split()]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **quiet,
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("shard-*.h5")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    assert len(processes_of(process.pid)) >= 4, "the command, the server and two workers"
    return process


def wait_for_the_end_of(session):
    """Wait until no process of a session runs: servers end a moment after their command."""
    deadline = time.monotonic() + 30
    while processes_of(session):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_command_leaves_no_process_behind(tmp_path):
    process = begin_session(tmp_path / "data")
    process.kill()
    process.wait()
    wait_for_the_end_of(process.pid)


def test_ctrl_c_ends_the_command_in_one_line_and_all_its_processes(tmp_path):
    process = begin_session(tmp_path / "data")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error.endswith("run the same command again to go on where it stopped\n")
    assert "Traceback" not in error
    wait_for_the_end_of(process.pid)


# A cluster.


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a Dask scheduler with three worker processes that nobody restarts."""
    file = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    started = []

    def start(program, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard"]
        command += ["--scheduler-file", str(file), *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*command], env=ENVIRONMENT, cwd=file.parent, **quiet))

    start("scheduler", "--host", "127.0.0.1", "--port", "0")
    for _ in range(3):
        start("worker", "--no-nanny", "--nthreads", "1")
    deadline = time.monotonic() + 120
    while not (file.is_file() and file.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    address = json.loads(file.read_text())["address"]
    with client_of(address) as client:
        client.wait_for_workers(3, timeout=120)
    yield address
    for process in started:
        process.kill()
        process.wait()


@contextlib.contextmanager
def client_of(address):
    import distributed

    with distributed.Client(address, set_as_default=False, timeout=60) as client:
        yield client


def kill_a_busy_worker(address):
    """Kill -9 of a worker in the middle of its work."""
    with client_of(address) as client:
        processes = client.run(os.getpid)
        deadline = time.monotonic() + 60
        while not (busy := [who for who, tasks in client.processing().items() if tasks]):
            assert time.monotonic() < deadline
        os.kill(processes[busy[0]], signal.SIGKILL)


def test_a_cluster_that_loses_a_worker_makes_the_same_bytes(cluster, configure, contents, tmp_path):
    config = configure(2, n=80, shard_size=8, seed=5, backend="lenstronomy")
    alone, _ = simulate(config.model_copy(update={"out": tmp_path / "alone"}))
    killed = []

    def progress(total, done):
        def report(count):
            if not killed:
                kill_a_busy_worker(cluster)
                killed.append(count)

        return report

    changes = {"out": tmp_path / "cluster", "scheduler": cluster, "workers": None}
    together, made = simulate(config.model_copy(update=changes), progress)
    assert made
    assert killed
    with client_of(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
    assert contents(together) == contents(alone)


def test_an_interrupted_run_leaves_no_task_on_the_cluster(cluster, configure, tmp_path):
    out = tmp_path / "data"
    code = f"""
import signal, cli
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main("simulate --model 2 --n 2000 --backend lenstronomy --set shard_size=10 "
         "--scheduler {cluster} --out {out}".split())
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("shard-*.h5")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.endswith("run the same command again to go on where it stopped\n")
    assert "Traceback" not in error
    assert not shards.read_manifest(out)["complete"]
    with client_of(cluster) as client:
        deadline = time.monotonic() + 30
        while any(client.processing().values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "what://ever:1", ""])
def test_a_scheduler_that_does_not_answer_is_told_in_seconds(configure, tmp_path, address):
    config = configure(2, n=3, out=tmp_path / "data").model_copy(update={"workers": None})
    begin = time.monotonic()
    with pytest.raises(InputError, match=f"no Dask scheduler answers at '{address}'; start one"):
        simulate(config.model_copy(update={"scheduler": address}))
    assert time.monotonic() - begin < 15
    assert not (tmp_path / "data").exists()


def test_workers_and_a_scheduler_exclude_each_other(configure, tmp_path):
    config = configure(2, n=3, out=tmp_path / "data", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(InputError, match="--workers or --scheduler, not both"):
        simulate(config)


def test_a_worker_that_does_not_see_the_folder_is_named(tmp_path):
    mark = tmp_path / "elsewhere" / "mark"
    with pytest.raises(InputError, match=r"does not see .*elsewhere; choose an --out in a folder"):
        workers._checked(square, mark, workers.environment(), 2)


def test_a_worker_with_other_software_is_named(tmp_path):
    mark = tmp_path / "mark"
    mark.touch()
    assert workers._checked(square, mark, workers.environment(), 2) == 4
    other = workers.environment() | {"numpy": "1.0"}
    with pytest.raises(InputError, match=r"has numpy .*, not 1\.0 as here; give all machines"):
        workers._checked(square, mark, other, 2)
