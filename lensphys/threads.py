"""Chunks of a batch, worked through side by side on one thread each.

The threads of torch itself share out every single operation and wait for the next one by spinning:
for small images that saves little, and beside other processes it costs several times as much.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")

#: Threads among which chunks are shared out; each has a variable of its own.
_THREADS = contextvars.ContextVar("threads", default=1)


@contextmanager
def side_by_side() -> Iterator[None]:
    """Let :func:`map_chunks` use the threads of torch, and torch itself one in each of them."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    token = _THREADS.set(threads)
    try:
        yield
    finally:
        _THREADS.reset(token)
        torch.set_num_threads(threads)


def map_chunks(function: Callable[..., Result], chunks: Iterable[tuple[Any, ...]]) -> list[Result]:
    """Call a function with each chunk of its arguments; results in their order.

    Under :func:`side_by_side` several at a time. Chunks must not depend on the number of threads,
    lest rounding does.
    """
    chunks, threads = list(chunks), _THREADS.get()
    if threads == 1 or len(chunks) == 1:
        return [function(*chunk) for chunk in chunks]
    # Each thread has modes of its own.
    grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()

    def call(chunk: tuple[Any, ...]) -> Result:
        with torch.inference_mode(inference), torch.set_grad_enabled(grad):
            return function(*chunk)

    return list(pool(threads).map(call, chunks))


@functools.cache
def pool(threads: int) -> concurrent.futures.ThreadPoolExecutor:
    """Return the one pool of so many threads."""
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="lensphys")


# A forked process, such as a worker of a DataLoader, has none of the threads of its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)
