"""Decorators that compile functions with numba, and the folder that keeps what was compiled.

numba knows a compiled function by the file that it stands in, and does not see changes of the
functions from other files that it contains. The name of the folder therefore holds a digest of all
sources of this package: any change of them begins with an empty folder.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

#: Settings of all loops. Sums may be fused with products (contract), which is a gain in
#: speed and in precision; dividing by 0 gives infinity.
_FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}

#: Loops that were declared so far.
_loops: list[Any] = []

#: Compiles a function into each of its callers, so that loops over it become vector instructions.
inline: Callable[..., Any] = numba.njit(forceinline=True, **_FLAGS)


def kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a loop when it is first called, without the lock of the interpreter, and keep it.

    Loops copy numbers one by one: slices that are assigned take seconds to compile. They are not
    ``parallel``: starting numba's threads resets the number of torch's, as both share one OpenMP
    library.
    """
    folder = cache_folder()
    with _cached_in(folder):
        loop: Any = numba.njit(nogil=True, **_FLAGS)(function)
        # Sources within an archive have no place that numba knows.
        if folder is not None and not numba.config.DISABLE_JIT:
            with contextlib.suppress(RuntimeError):
                loop.enable_caching()
    _loops.append(loop)
    return loop  # type: ignore[no-any-return]


def compile_anew(loop: Any, failure: Exception) -> None:
    """Let a loop be compiled again, after what was kept of it, or its folder, failed.

    What is damaged is thrown away; after an error of the system, as on a full disk, this process
    keeps no loop any more. numba has no public way to either.
    """
    with contextlib.suppress(OSError):
        if not isinstance(failure, OSError):
            loop._cache.flush()
            return
    for other in _loops:
        other._cache.disable()


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder that keeps compiled loops, or None where no place can be written.

    The first of: ``NUMBA_CACHE_DIR``, the folder of the package, the cache folder of the user.
    """
    package = Path(__file__).parent
    name = f"kernels-{digest(package)}"
    places = [package / "__pycache__"]
    # Here, unlike in the other places, no second version of the package keeps its loops.
    for old in places[0].glob("kernels-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)
    if numba.config.CACHE_DIR:
        places.insert(0, Path(numba.config.CACHE_DIR))
    with contextlib.suppress(RuntimeError):  # a user without a home
        user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        places.append(user / "lensphys")
    return next((place / name for place in places if _is_writable(place / name)), None)


def digest(package: Path) -> str:
    """Return a name that changes with any source file of a package."""
    found = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        found.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _cached_in(folder: Path | None) -> Iterator[None]:
    """Let numba keep what is decorated within in a folder; it looks when it decorates."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder or "")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
