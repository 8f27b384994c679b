"""HDF5 files, read without locks: a file that cannot be read just now is not a damaged one."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text, shorten
from lensphys.ground.room import describe_bytes

#: Times the size of its file that the arrays in it may have, and bytes that they may have anyway.
_MAX_RATIO, _FREE = 200, 2**26
#: HDF5 writes the number of a system's error into its message.
_ERRNO = re.compile(r"errno = (\d+)")
#: Advice on errors of the system that a user can do something about.
_ADVICE = {
    errno.EACCES: "ask its owner for the permission to read it",
    errno.EPERM: "ask its owner for the permission to read it",
    errno.EMFILE: "raise the limit with `ulimit -n 4096` and run the same command again",
    errno.ENFILE: "close other programs and run the same command again",
    errno.EAGAIN: "another program holds it; close that and run the same command again",
}
_LATER = "the file is left as it is; run the same command again when it can be read"


class DamagedFileError(InputError):
    """A file that is missing or not as it was written: to make it again mends it."""


@contextmanager
def read_hdf5(path: Path, again: str) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; errors while it is read become those of the user.

    No lock is taken: files are replaced whole, and a program that holds one open does no harm.

    Args:
        path: of the file.
        again: advice that mends a damaged file.

    Raises:
        DamagedFileError: for a file that is missing, truncated or of another kind.
        InputError: for one that cannot be read now, as for want of permission.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except InputError:
        raise
    # h5py answers damaged metadata with each of these.
    except (
        OSError, KeyError, AttributeError, TypeError, ValueError, RuntimeError, OverflowError
    ) as error:  # fmt: skip
        raise explain(path, error, again) from None


def explain(path: Path, error: BaseException, again: str) -> InputError:
    """The error of the user behind an error of h5py or of the system.

    Args:
        path: of the file that was read.
        error: that reading raised.
        again: advice that mends a damaged file.
    """
    number = error_number(error)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return DamagedFileError(f"{path} is missing; {again}")
    if number is not None:
        advice = _ADVICE.get(number, _LATER)
        return InputError(f"cannot read {path}: {os.strerror(number)}; {advice}")
    if is_held(path):
        return held(path)
    return DamagedFileError(f"{path} is truncated or not a shard of this program; {again}")


def error_number(error: BaseException) -> int | None:
    """The number of the error of the system, which h5py puts among its own words; None: of none."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = _ERRNO.search(str(error))
    return int(found[1]) if found and int(found[1]) else None


def is_held(path: Path) -> bool:
    """True where another program has locked a file, as HDF5 does while it writes to one."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # not to be opened, or on a file system without locks
        return False
    return False


def held(path: Path) -> InputError:
    """The error for a file that another program is writing to."""
    return InputError(
        f"{path} is held open by another program, which may be writing to it; close that and run "
        "the same command again"
    )


def array(place: h5py.File | h5py.Group, name: str) -> h5py.Dataset:
    """An array of a file whose values lie in this file.

    Raises:
        KeyError: where there is none.
        TypeError: for a group, or for values in another file.
    """
    if not isinstance(place.get(name, getlink=True), h5py.HardLink):
        raise TypeError(f"'{name}' is a link")
    found = place[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise TypeError(f"'{name}' holds no values")
    return found


def check_declared(path: Path, arrays: Iterable[h5py.Dataset], again: str) -> None:
    """Refuse arrays that are far larger than their file, before any of them is read.

    Args:
        path: of the file.
        arrays: in it.
        again: advice that mends a damaged file.

    Raises:
        DamagedFileError: with the limit.
    """
    stored = path.stat().st_size
    limit = max(_FREE, _MAX_RATIO * stored)
    declared = 0
    for values in arrays:
        size = math.prod(values.shape or ()) * values.dtype.itemsize
        declared += size
        chunk = math.prod(values.chunks or ()) * values.dtype.itemsize
        if declared > limit or chunk > limit:
            raise DamagedFileError(
                f"{path} declares arrays of {describe_bytes(max(declared, chunk))} in a file of "
                f"{describe_bytes(stored)}, more than the limit of {describe_bytes(limit)}; {again}"
            )
        if size and not values.id.get_storage_size():
            name = shorten(plain_text(values.name), 80)
            raise DamagedFileError(f"{path} has an array '{name}' that was never written; {again}")
