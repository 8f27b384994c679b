"""Files of strangers, opened: those that are packed are unpacked up to a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math
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
#: Bytes within which a header of a FITS file has to end.
_MAX_HEADER = 2**22
_BLOCK, _CARD = 2880, 80
_MAX_EXTENSIONS = 10_000
_INTEGER = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT) *= *(-?\d{1,18})(?!\d)")
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


def check_headers(file: IO[bytes]) -> None:
    """Refuse a FITS file with a header that does not end; its reader would not end either.

    Args:
        file: at its beginning, where it is left again.

    Raises:
        BrokenFileError: for such a file, or one of too many extensions.
    """
    size = file.seek(0, io.SEEK_END)
    place = file.seek(0)
    for _ in range(_MAX_EXTENSIONS):
        header = _read_header(file, first=not place)
        length = _data_length(header)
        # A small file is read to its end in no time.
        if size <= _MAX_HEADER or length is None:
            break
        place = file.tell() + -(-length // _BLOCK) * _BLOCK
        if place >= size:
            break
        file.seek(place)
    else:
        raise BrokenFileError(f"it has more than {_MAX_EXTENSIONS} extensions")
    file.seek(0)


def _read_header(file: IO[bytes], *, first: bool) -> list[bytes]:
    """The cards of the header that begins here."""
    block = file.read(_BLOCK)
    if not block:
        raise BrokenFileError("it is empty")
    if not block.startswith(b"SIMPLE" if first else b"XTENSION"):
        raise BrokenFileError("it is not a FITS file" if first else "it is damaged after its image")
    cards: list[bytes] = []
    while True:
        cards += [block[i : i + _CARD] for i in range(0, len(block), _CARD)]
        if any(card.startswith(b"END     ") for card in cards[-_BLOCK // _CARD :]):
            return cards
        if len(block) < _BLOCK or len(cards) * _CARD > _MAX_HEADER:
            raise BrokenFileError("its header has no end: it is damaged or truncated")
        block = file.read(_BLOCK)


def _data_length(cards: list[bytes]) -> int | None:
    """Bytes of the data behind a header; None where it does not tell."""
    values: dict[str, int] = {}
    for card in cards:
        if match := _INTEGER.match(card):
            values.setdefault(match[1].decode(), int(match[2]))
    try:
        axes = [values[f"NAXIS{n + 1}"] for n in range(min(values["NAXIS"], 999))]
        elements = values.get("PCOUNT", 0) + (math.prod(axes) if axes else 0)
        length = abs(values["BITPIX"]) // 8 * values.get("GCOUNT", 1) * elements
    except KeyError:
        return None
    return length if length >= 0 else None


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
