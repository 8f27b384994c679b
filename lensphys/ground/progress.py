"""Progress of long work: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from lensphys.ground.names import plain_text

#: Seconds between lines in a log file.
_EVERY = 10.0
_LINE = (
    "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
)

#: Called with what is to happen when a command ends.
OnClose = Callable[[Callable[[], None]], Any]


class Bar(Protocol):
    """Work under way: how much is done, at which rate, and the time left."""

    n: float

    def update(self, count: float) -> Any:
        """Note that so much more is done."""

    def describe(self, what: str, values: str) -> None:
        """Change the words before and after the numbers, from their next showing on."""

    def close(self) -> None:
        """Show the last state."""


class _Live(tqdm):  # type: ignore[type-arg]
    """A bar on a terminal."""

    def describe(self, what: str, values: str) -> None:
        self.set_description_str(what, refresh=False)
        self.set_postfix_str(values, refresh=False)


class _Lines:
    """Lines in a log file: at the beginning, at the end, and every ten seconds."""

    def __init__(self, total: float, initial: float, unit: str, desc: str, scale: bool) -> None:
        self.n = initial
        self._settings: dict[str, Any] = {
            "total": total,
            "unit": unit,
            "unit_scale": scale,
            "initial": initial,
        }
        self._what, self._values = desc, ""
        self._begin = self._shown = time.monotonic()
        self._open = True
        self._show()

    def update(self, count: float) -> None:
        self.n += count
        if time.monotonic() - self._shown >= _EVERY:
            self._show()

    def describe(self, what: str, values: str) -> None:
        self._what, self._values = what, values

    def close(self) -> None:
        if self._open:
            self._open = False
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        line = tqdm.format_meter(
            n=self.n,
            elapsed=self._shown - self._begin,
            prefix=self._what,
            postfix=self._values,
            bar_format=_LINE,
            **self._settings,
        )
        write_note(line)


def start_bar(total: float, done: float, unit: str, what: str, *, scale: bool = False) -> Bar:
    """Start to show how much of ``total`` is done, beginning with ``done``.

    Args:
        total, done: numbers of ``unit``.
        unit: of what is counted.
        what: is done.
        scale: write large numbers as 3.2M.
    """
    if sys.stderr.isatty():
        return _Live(
            total=total, initial=done, unit=unit, desc=what, unit_scale=scale, dynamic_ncols=True
        )
    return _Lines(total, done, unit, what, scale)


def show_images(
    on_close: OnClose, total: int, done: int, what: str, unit: str = "img"
) -> Callable[[int], None]:
    """Show progress over images; returns what to call with each number of images finished."""
    if done == total:
        return lambda count: None
    bar = start_bar(total, done, unit, what)
    on_close(bar.close)  # else an error message starts in the middle of its line

    def report(count: int) -> None:
        bar.update(count)
        if bar.n >= total:
            bar.close()

    return report


def show_files(on_close: OnClose, files: list[Path], what: str) -> Callable[[Path, float], None]:
    """Show progress over bytes of files; returns what to call with a file and a part of it.

    How many images are in the files shows only when they are read.
    """
    sizes = {path: _size(path) for path in files}
    parts, dealt = dict.fromkeys(sizes, 0.0), dict.fromkeys(sizes, 0)
    total = sum(sizes.values())
    if not total:
        return lambda path, part: None
    bar = start_bar(total, 0, "B", what, scale=True)
    on_close(bar.close)

    def report(path: Path, part: float) -> None:
        # Whole bytes, since the parts of a file do not add up to the last digit.
        parts[path] += part
        done = round(min(parts[path], 1.0) * sizes[path])
        bar.update(done - dealt[path])
        dealt[path] = done
        if bar.n >= total:
            bar.close()

    return report


def _size(path: Path) -> int:
    """Bytes of a file; none of one that cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def write_note(line: str) -> None:
    """Write a line to standard error; on a terminal above the bars."""
    line = plain_text(line)  # it may hold names of other people's data
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is what others call
