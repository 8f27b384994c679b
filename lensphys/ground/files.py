"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from lensphys.ground.errors import InputError

#: Advice on errors of a disk that takes no more.
_NO_ROOM = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EFBIG: "make room",
    errno.EROFS: "make its folder writable",
}


def path_inside(folder: Path, name: object) -> Path:
    """Path of a file that a manifest, a run or a catalogue names; it lies inside of its folder.

    A name comes from a file that a stranger may have written. It is refused where it leads out of
    the folder, also through a link, or to something that is no regular file. The file itself need
    not exist.

    Raises:
        InputError: for such a name.
    """
    refusal = InputError(f"{folder} names a file that is not inside of it: {name!a:.200}")
    if not isinstance(name, str) or not name or "\0" in name:
        raise refusal
    path = folder / name
    try:
        inside = folder.resolve() in path.resolve().parents
        regular = path.is_file() or not os.path.lexists(path)
    except PermissionError:  # what opens it has more to tell
        return path
    except (OSError, RuntimeError, ValueError):  # a name that is too long; links in a circle
        raise refusal from None
    if not inside or ".." in PurePath(name).parts:
        raise refusal
    if not regular:
        raise InputError(f"{path} is no regular file")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; renamed to ``path`` at the end, removed on any failure.

    A disk that is full, or has become read-only, is an error of the user.

    After a power cut the path holds the old content or the new, never a part; which of the two is
    certain after :func:`settle`.
    """
    # Not named after the process: two on different machines can have the same number.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_ROOM and str(temporary) not in (error.filename, error.filename2):
            raise
        raise cannot_write(path, error.errno) from error
    finally:
        with suppress(OSError):  # in a folder that has become read-only; the next run clears it
            temporary.unlink(missing_ok=True)


def cannot_write(path: Path, number: int | None, reason: str = "") -> InputError:
    """The error for a file that cannot be written, as on a full disk.

    Args:
        path: of the file.
        number: of the system's error; None: not known.
        reason: in words, where there is no number.
    """
    reason = reason if number is None else os.strerror(number)
    closed = number in (errno.EACCES, errno.EPERM)
    advice = _NO_ROOM[errno.EROFS] if closed else advise_on_disk(number) or "make room"
    return InputError(
        f"cannot write {path}: {reason}; {advice} and run the same command again to go on"
    )


def advise_on_disk(number: int | None) -> str | None:
    """Advice on an error of a disk that takes no more; None on other errors of the system."""
    return None if number is None else _NO_ROOM.get(number)


def check_output(
    path: Path,
    kind: str,
    is_ours: Callable[[Path], bool],
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
) -> Path:
    """Return the file to write an output to, links followed; refuse one that would be lost.

    A file that is there is replaced if the command has made one of its kind, or with
    ``--overwrite``.

    Args:
        path: given with ``--out``, or the default.
        kind: of the output, for the message: "table of predictions".
        is_ours: tell by the content of a file whether it is of that kind; OSError and ValueError
            mean no.
        inputs: files that the command reads; none of them is ever replaced.
        overwrite: replace other files of any kind.

    Raises:
        InputError: for an input, a file of another kind, a folder, a device.
    """
    try:
        target = path.resolve()
        folder = next(parent for parent in target.parents if parent.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is no folder")
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "permission denied")
        if not target.exists():
            return target
    except (OSError, RuntimeError, ValueError) as error:  # also links in a circle
        reason = getattr(error, "strerror", None) or "it is no name of a file"
        raise InputError(f"cannot write to {path}: {reason}; choose another --out") from None
    if target.is_dir():
        raise InputError(f"--out {path} is a folder; name a file, as in --out FOLDER/FILE")
    if not target.is_file():
        raise InputError(f"--out {path} is a device, not a file; choose another --out")
    if any(_is_same_file(target, name) for name in inputs):
        raise InputError(
            f"--out {path} is one of the inputs; choose another --out (after --out *, the first "
            "file is taken for the output)"
        )
    if overwrite:
        return target
    try:
        ours = is_ours(target)
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise InputError(
            f"--out {path} is there already and is no {kind}; choose another --out, or replace it "
            "with --overwrite"
        )
    return target


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):
        return False


def settle(folder: Path) -> None:
    """Wait until the names of the files in a folder are on the disk, as their contents are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some shared file systems cannot be asked
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_readable(path: Path) -> None:
    """Refuse a file that cannot be read now, of whose content nothing is known.

    One that is missing is left to what reads it.

    Raises:
        InputError: with the reason of the system.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; make it readable and run the same command again"
        ) from None


def read_json(path: Path) -> dict[str, Any]:
    """Read the mapping in a JSON file.

    Raises:
        ValueError: if the file holds none, or one that is nested too deeply.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no mapping")
    return values


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
