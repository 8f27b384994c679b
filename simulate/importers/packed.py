"""Files of strangers, opened: those that are packed are unpacked up to a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from simulate.importers.errors import BrokenFileError

#: Bytes that a packed file may have when it is unpacked; a cutout has fewer.
MAX_UNPACKED = 2**29
_CHUNK = 2**20
#: Bytes within which the header of a FITS file has to end.
_MAX_HEADER = 2**22
_BLOCK, _CARD = 2880, 80
#: Readers of packed files by the first bytes of these.
_UNPACKERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


def check_regular(path: Path) -> None:
    """Refuse what is no regular file: reading a pipe or a device may never end.

    Raises:
        BrokenFileError: for such a file, or one that is not there.
        OSError: for one that cannot be looked at.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise BrokenFileError("it is a folder")
    if not stat.S_ISREG(mode):
        raise BrokenFileError("it is a pipe or a device, not a file")


@contextmanager
def open_packed(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked where it is packed (gzip, bzip2, xz, zip).

    Raises:
        BrokenFileError: for a file that is damaged, or larger than the limit when it is unpacked.
    """
    check_regular(path)
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"PK\x03\x04"):
            yield _unzip(file)
        elif unpacker := next(
            (_UNPACKERS[key] for key in _UNPACKERS if magic.startswith(key)), None
        ):
            with unpacker(file) as packed:
                yield _unpack(packed)
        else:
            yield file


def check_header(file: IO[bytes]) -> None:
    """Refuse a FITS file whose first header does not end; its reader would not either.

    Raises:
        BrokenFileError: for such a file.
    """
    start = file.read(_BLOCK)
    if not start:
        raise BrokenFileError("it is empty")
    if not start.startswith(b"SIMPLE"):
        raise BrokenFileError("it is not a FITS file")
    block, size = start, 0
    while not any(block[i : i + 8] == b"END     " for i in range(0, len(block), _CARD)):
        size += len(block)
        if len(block) < _BLOCK or size > _MAX_HEADER:
            raise BrokenFileError("its header has no end: it is damaged or truncated")
        block = file.read(_BLOCK)
    file.seek(0)


def first_image_number(path: Path) -> int:
    """Number of the first extension of a FITS file that may hold an image: 0, or 1 behind it."""
    try:
        with open_packed(path) as file:
            block = file.read(_BLOCK)
    except (BrokenFileError, OSError):
        return 0
    cards = [block[i : i + _CARD] for i in range(0, len(block), _CARD)]
    return int(any(re.match(rb"NAXIS   =\s+0\b", card) for card in cards))


def _unzip(file: IO[bytes]) -> io.BytesIO:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise BrokenFileError(f"it is an archive of {len(names)} files; unpack it first")
            with archive.open(names[0]) as member:
                return _unpack(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        raise BrokenFileError("it cannot be unpacked: it is damaged or encrypted") from None


def _unpack(packed: IO[bytes]) -> io.BytesIO:
    unpacked = io.BytesIO()
    try:
        while chunk := packed.read(_CHUNK):
            unpacked.write(chunk)
            if unpacked.tell() > MAX_UNPACKED:
                raise BrokenFileError(
                    f"it unpacks to more than {MAX_UNPACKED >> 20} MiB, too much for a cutout; "
                    "unpack it, and cut images from it"
                )
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile):
        raise BrokenFileError("it cannot be unpacked: it is damaged or truncated") from None
    unpacked.seek(0)
    return unpacked
