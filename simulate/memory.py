"""How this process asks the system for memory."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next tensor instead of handing it back.

    Rendering and training allocate and free arrays of about a megabyte all the time. By default
    glibc returns each of them to the kernel, and every page is cleared and mapped anew; on a
    virtual machine the first steps of pretraining took 2.6 times as long without this.
    Without effect where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc allows
    mallopt(_M_TRIM_THRESHOLD, 2**30)
