"""Room for what is to be made: memory and disk, looked at before work begins."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from lensphys.ground.errors import InputError

_MEMINFO, _STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
#: Control groups, which limit the memory of containers and of jobs on a cluster: of version 2,
#: and of version 1. Limit, use, and the key of what the system would give up in ``memory.stat``.
_GROUPS = (
    (Path("/sys/fs/cgroup"), "memory.max", "memory.current", "inactive_file"),
    (
        Path("/sys/fs/cgroup/memory"),
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def free_memory() -> int | None:
    """Bytes that this process may still take; None where the system does not tell."""
    limits = [_free_of_machine(), *_free_of_groups(), _free_of_process()]
    return min((limit for limit in limits if limit is not None), default=None)


def check_memory(need: float, what: str, advice: str) -> None:
    """Refuse what does not fit into memory.

    Args:
        need: bytes.
        what: needs them, in the plural: "images of this size".
        advice: what to do about it.

    Raises:
        InputError: with both numbers.
    """
    free = free_memory()
    if free is not None and need > free:
        raise InputError(
            f"{what} need {describe_bytes(need)} of memory, {describe_bytes(free)} are free; "
            f"{advice}"
        )


def check_disk(folder: Path, need: float, what: str, advice: str) -> None:
    """Refuse what does not fit onto the disk.

    Args:
        folder: to write to; it need not exist.
        need: bytes.
        what: needs them, in the plural: "1,000 images".
        advice: what to do about it.

    Raises:
        InputError: with both numbers.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
    except (OSError, StopIteration):
        return
    if need > free:
        raise InputError(
            f"{what} need {describe_bytes(need)} of disk, {describe_bytes(free)} are free at "
            f"{folder}; {advice}"
        )


def describe_bytes(count: float) -> str:
    """A number of bytes in words: ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{float(count):.3g} PB"


def _free_of_machine() -> int | None:
    return _kilobytes(_MEMINFO, "MemAvailable")


def _free_of_process() -> int | None:
    """Bytes of address space that ``ulimit -v`` leaves; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    return max(0, limit - (_kilobytes(_STATUS, "VmSize") or 0))


def _free_of_groups() -> list[int]:
    free = []
    for folder, limit, use, given_up in _GROUPS:
        try:
            most = (folder / limit).read_text(encoding="ascii").strip()
            if most == "max":
                continue
            now = int((folder / use).read_text(encoding="ascii"))
            lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            values = dict(line.split() for line in lines)
            free.append(max(0, int(most) - now + int(values.get(given_up, 0))))
        except (OSError, ValueError):
            continue
    return free


def _kilobytes(path: Path, name: str) -> int | None:
    """A line ``name: 123 kB`` of a file of the system, in bytes."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
