"""Workers: this process, processes of this machine, or those of a Dask cluster.

Each way takes a job and the items to do it for, and yields each item with its result, in the order
they are finished. Jobs may be done twice (a worker is lost when it had all but finished), so they
must leave the same files however often they are done.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import hashlib
import importlib.metadata
import logging
import multiprocessing
import os
import platform
import signal
import socket
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from lensphys.ground.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")
#: Items with their results; to be closed when no more of them are wanted.
Results: TypeAlias = Generator[tuple[Item, Result], None, None]


_log = logging.getLogger(__name__)

#: So many pools in a row may break without finishing anything.
_POOLS = 3
#: Seconds that a scheduler has to answer.
_PATIENCE = 5
#: What the bytes of a shard depend on, beside our own code.
_PACKAGES = ("torch", "numpy", "scipy", "numba", "h5py", "astropy", "lenstronomy")


def _nothing() -> None:
    """Do nothing."""


def in_process(
    job: Callable[[Item], Result],
    items: Iterable[Item],
    prepare: Callable[[], object] = _nothing,
    ready: Callable[[], object] = _nothing,
) -> Results[Item, Result]:
    """One item after the other, here; see :func:`on_processes` for ``prepare`` and ``ready``."""
    with _one_thread():
        prepare()
        ready()
        for item in items:
            yield item, job(item)


def on_processes(
    job: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    prepare: Callable[[], object] = _nothing,
    ready: Callable[[], object] = _nothing,
) -> Results[Item, Result]:
    """Work in processes of this machine, each with one thread.

    One server process imports and compiles; the workers are forked from it. Where a process dies,
    as by the kernel for want of memory, its pool is lost. What is missing is then given to a fresh
    one; to one of half the size if the last finished nothing.

    Args:
        job: what to do with an item; pickled, as is ``prepare``.
        items: what to do it for.
        workers: how many processes.
        prepare: called once in the server, before it forks: what all workers have in common.
        ready: called here when the server is prepared for the first time.

    Raises:
        InputError: where three pools in a row died without finishing anything.
    """
    todo = dict.fromkeys(items)
    failures = 0
    ready = functools.cache(ready)  # once, however many servers there are
    while todo:
        before = len(todo)
        with closing(_one_pool(job, list(todo), workers, prepare, ready)) as finished:
            for item, result in finished:
                del todo[item]
                yield item, result
        if len(todo) < before:
            failures = 0
            continue
        failures += 1
        workers = max(1, workers // 2)
        if failures == _POOLS:
            raise InputError(
                "worker processes die again and again (out of memory?); run the same command "
                "again to go on, with fewer --workers"
            )


def _one_pool(
    job: Callable[[Item], Result],
    items: list[Item],
    workers: int,
    prepare: Callable[[], object],
    ready: Callable[[], object],
) -> Results[Item, Result]:
    """Yield the results of a server and its workers until one of them dies."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = os.getpid(), sender, job, items, workers, prepare
    server = context.Process(target=_serve, args=arguments, name="lensphys-server")
    _log.info("starting %d processes ...", workers)
    with _deaf_to_ctrl_c():
        server.start()
    sender.close()  # else the end of the server would not be seen
    try:
        for message in _messages(receiver):
            match message:
                case "prepared":
                    ready()
                case (int(number), result):
                    yield items[number], result
                case error:
                    raise error
    finally:
        receiver.close()  # the server sees that no more is wanted
        server.join()


def _messages(receiver: Connection) -> Iterator[Any]:
    """Messages that arrive until the other end is closed."""
    with suppress(EOFError):
        while True:
            yield receiver.recv()


def _serve(
    parent: int,
    results: Connection,
    job: Callable[[Item], Result],
    items: list[Item],
    workers: int,
    prepare: Callable[[], object],
) -> None:
    """Prepare, fork workers, and send numbers and results of finished items, or an error."""
    _end_with(parent)
    try:
        import torch

        # Before any thread is started, which a forked process would lack.
        torch.set_num_threads(1)
        prepare()
        results.send("prepared")
        with closing(_forked(job, items, workers)) as finished:
            for done in finished:
                results.send(done)
    except BrokenPipeError:
        return  # no more is wanted
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        with suppress(BrokenPipeError):
            results.send(error)


def _forked(
    job: Callable[[Item], Result], items: list[Item], workers: int
) -> Generator[tuple[int, Result], None, None]:
    """Numbers and results of items, from a pool of forked processes, until one of them dies."""
    context = multiprocessing.get_context("fork")
    pool = concurrent.futures.ProcessPoolExecutor(
        min(workers, len(items)), context, _end_with, (os.getpid(),)
    )
    try:
        futures = {}
        for number, item in enumerate(items):
            futures[pool.submit(job, item)] = number
        for future in concurrent.futures.as_completed(futures):
            if not isinstance(future.exception(), concurrent.futures.BrokenExecutor):
                yield futures[future], future.result()
    except concurrent.futures.BrokenExecutor:
        return  # already while the items were handed in
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with(parent: int) -> None:
    """End this process as soon as its parent has ended, however that did."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started meanwhile are deaf to Ctrl-C, from their first moment on."""
    resource_tracker.ensure_running()  # it would be started with them, and lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread, as in a worker, so that every way of running rounds alike."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def on_cluster(
    job: Callable[[Item], Result], items: Iterable[Item], scheduler: str, folder: Path
) -> Results[Item, Result]:
    """Work on a Dask cluster, however many workers there are, come and go.

    Dask gives the items of a lost worker to the others. Workers write to ``folder`` themselves.

    Args:
        job: what to do with an item; pickled.
        items: what to do it for.
        scheduler: address of the Dask scheduler, such as ``tcp://login1:8786``.
        folder: absolute path of a folder that every worker must see under the same name.

    Raises:
        InputError: where no scheduler answers or it is lost, a worker does not see the folder or
            has other software than this process, or an item kills one worker after the other.
    """
    import distributed
    from distributed.comm import CommClosedError

    mark = folder / f".seen-by-workers.{uuid.uuid4().hex}.tmp"
    checked = functools.partial(_checked, job, mark, environment())
    mark.touch()
    try:
        with _connected(scheduler) as client:
            if not client.scheduler_info()["workers"]:
                _log.warning("the scheduler at %s has no workers yet; waiting for them", scheduler)
            # Not "pure": Dask would take an equal item of another run for the same.
            futures = {client.submit(checked, item, pure=False): item for item in items}
            for future in distributed.as_completed(list(futures), loop=client.loop):
                yield futures.pop(future), future.result()
    except distributed.KilledWorker as error:
        raise InputError(
            f"workers die again and again (out of memory?), the last was {error.last_worker.name}; "
            "give each more memory and run the same command again to go on"
        ) from None
    except (
        concurrent.futures.CancelledError,
        distributed.CancelledError,
        CommClosedError,
        TimeoutError,
    ):
        raise InputError(
            f"the Dask scheduler at {scheduler} is lost; run the same command again to go on"
        ) from None
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the Dask cluster cannot run lensphys: {error}; install the same version of it for "
            "the scheduler and for all workers"
        ) from None
    finally:
        mark.unlink(missing_ok=True)


def reach(scheduler: str) -> None:
    """See whether a Dask scheduler answers.

    Raises:
        InputError: where none does.
    """
    from distributed.comm import connect

    async def knock() -> None:
        comm = await connect(scheduler, timeout=_PATIENCE)
        await comm.close()

    try:
        asyncio.run(knock())
    # A MemoryError: the answer of another kind of server, taken for a length.
    except (OSError, TypeError, ValueError, MemoryError):
        raise InputError(
            f"no Dask scheduler answers at '{scheduler}'; start one with `dask scheduler`, which "
            "shows its address, or leave out --scheduler"
        ) from None


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    """A client of the scheduler; at the end what is not finished is cancelled."""
    import distributed
    from distributed.versions import VersionMismatchWarning

    # A lost scheduler is told of in one line, not in the traceback of each attempt to reach it.
    # What its loop was about when an interruption ended it is no concern of the user's either.
    for name in ("distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)  # what matters is checked below
        with distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False) as client:
            yield client


def _checked(
    job: Callable[[Item], Result], mark: Path, expected: dict[str, str], item: Item
) -> Result:
    """A job on a worker that sees the folder and has the software of the command."""
    import torch

    torch.set_num_threads(1)
    here = environment()
    for name, version in expected.items():
        if here.get(name) != version:
            raise InputError(
                f"the worker on {socket.gethostname()} has {name} {here.get(name)}, not {version} "
                "as here; give all machines the same environment"
            )
    if not mark.is_file():
        raise InputError(
            f"the worker on {socket.gethostname()} does not see {mark.parent}; choose an --out in "
            "a folder that all machines share"
        )
    return job(item)


@functools.cache
def environment() -> dict[str, str]:
    """Names and versions of the software of this process that images depend on."""
    import lensphys
    import simulate

    code = hashlib.sha256()
    for package in (lensphys, simulate):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            code.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    # Of one version there can be several: a checkout that is behind on one machine.
    ours = f"{lensphys.__version__} (source {code.hexdigest()[:8]})"
    return {"Python": python, "lensphys": ours} | versions
