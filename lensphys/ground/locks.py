"""A folder to write results to, held by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from lensphys.ground.errors import InputError
from lensphys.ground.files import replacing

#: Names of temporary files, as :func:`lensphys.ground.files.replacing` gives them.
_OURS = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")

ResultT = TypeVar("ResultT")


class HeldError(InputError):
    """A folder that another process holds.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another process is writing to {folder}; wait for it to end")
        self.folder = folder


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make a folder if need be, and hold it for this process alone.

    Temporary files that a killed process left behind are removed, before and after. A folder that
    is still empty at the end is removed if it was made here, so that a refused run leaves nothing.

    Raises:
        InputError: where the folder cannot be made or written to, or another process holds it.
    """
    created = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "permission denied")
        descriptor = _open_folder(folder)
    except (OSError, ValueError) as error:  # a path with a character that none may have
        reason = getattr(error, "strerror", None) or "it is no name of a folder"
        raise InputError(f"cannot write to {folder}: {reason}; choose another --out") from None
    try:
        if not _lock(descriptor, wait=False):
            created = False
            raise HeldError(folder)
        remove_leftovers(folder)
        try:
            yield
        finally:
            remove_leftovers(folder)
    finally:
        with suppress(OSError):  # else it would hide what ended the work
            if created and not any(folder.iterdir()):
                folder.rmdir()
        os.close(descriptor)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files that killed processes have left in a folder.

    Args:
        folder: that nobody else writes to.
        name: of the only file whose temporary files are removed; None: those of all files.
    """
    for leftover in folder.glob(".*.tmp"):
        ours = _OURS.fullmatch(leftover.name)
        if ours and name in (None, ours[1]):
            with suppress(OSError):  # in a folder that has become read-only
                leftover.unlink()


@contextmanager
def replacing_alone(path: Path) -> Iterator[Path]:
    """As :func:`lensphys.ground.files.replacing`, in a folder that no command holds for long.

    Temporary files that killed processes have left of this file are removed first, unless another
    process holds the folder: it may be writing one.
    """
    descriptor = _open_folder(path.parent)
    try:
        if _lock(descriptor, wait=False):
            remove_leftovers(path.parent, path.name)
        with replacing(path) as temporary:
            yield temporary
    finally:
        os.close(descriptor)


def call_in_turn(call: Callable[[], ResultT], note: Callable[[str], None]) -> ResultT:
    """Call a function that holds a folder, after other processes that hold it have let go.

    Args:
        call: raises :class:`HeldError` as long as it cannot have the folder.
        note: called with a line when it has to wait.
    """
    while True:
        try:
            return call()
        except HeldError as held:
            note(f"waiting for another process that works in {held.folder} ...")
            with suppress(FileNotFoundError), hold_in_turn(held.folder):
                pass  # what it has left is seen by the call


@contextmanager
def hold_in_turn(folder: Path) -> Iterator[None]:
    """Hold a folder that is there for this process alone, after others that hold it have let go.

    Where the file system knows no locks, nobody waits.
    """
    descriptor = _open_folder(folder)
    try:
        _lock(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def _open_folder(folder: Path) -> int:
    """A descriptor of the folder itself: a lock file could be removed while another waits."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a folder until its descriptor is closed; return False where another process holds it.

    Shared file systems may know no locks of folders (NFS answers EBADF). Files are replaced whole
    there too, so two processes at once cost time and no data.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
