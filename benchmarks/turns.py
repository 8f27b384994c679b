"""Steps of several processes, in turn, so that what disturbs one disturbs all."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple

#: Makes, in a process of its own, what is then called again and again.
Maker = Callable[[], Callable[[], None]]
#: Seconds that a turn lasts at least, after a step that finds its caches cold.
_TURN = 1.0


class Timing(NamedTuple):
    """Times of the steps of one process."""

    seconds: list[float]
    """seconds of a step, in each of its turns"""
    memory: float
    """MiB, at the peak: of the process, or of its device where it uses one"""

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.seconds)

    def over(self, other: Timing) -> tuple[float, float, float]:
        """Ratio to the time of another: the median over pairs of turns, and both quartiles."""
        ratios = [own / of for own, of in zip(self.seconds, other.seconds, strict=True)]
        if len(ratios) < 2:
            return ratios[0], ratios[0], ratios[0]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return middle, low, high


def in_turn(makers: dict[str, Maker], turns: int, warm: int = 2) -> dict[str, Timing]:
    """Time the steps of each, in processes that live beside each other and take turns.

    A turn is a step that is not counted, as another process has had the caches, and then steps for
    a second, or one that takes longer.

    Args:
        makers: by name; picklable.
        turns: of each.
        warm: turns of each before them, which are not counted.
    """
    context = multiprocessing.get_context("spawn")
    ends, processes = {}, []
    for name, maker in makers.items():
        here, there = context.Pipe()
        processes.append(context.Process(target=_serve, args=(maker, there), daemon=True))
        processes[-1].start()
        there.close()
        here.recv()  # one is made after the other, too
        ends[name] = here
    taken: dict[str, list[float]] = {name: [] for name in makers}
    memory = {}
    for turn in range(warm + turns):
        for name, end in ends.items():
            end.send(True)
            seconds, memory[name] = end.recv()
            if turn >= warm:
                taken[name].append(seconds)
    for end, process in zip(ends.values(), processes, strict=True):
        end.send(False)
        process.join()
    return {name: Timing(taken[name], memory[name]) for name in makers}


def _serve(maker: Maker, end: Connection) -> None:
    import torch

    step = maker()
    device = torch.cuda.is_available() and torch.cuda.memory_allocated() > 0
    end.send(True)
    while end.recv():
        step()
        start, count, seconds = time.perf_counter(), 0, 0.0
        while seconds < _TURN:
            step()
            if device:
                torch.cuda.synchronize()
            count, seconds = count + 1, time.perf_counter() - start
        if device:
            memory = torch.cuda.max_memory_allocated() / 2**20
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        end.send((seconds / count, memory))
