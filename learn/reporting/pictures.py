"""The pictures of a page: PNG files that are whole, and not too large for a browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import struct
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from learn.reporting.own_files import find_files
from learn.reporting.table import Table
from lensphys.ground.errors import InputError
from lensphys.ground.room import describe_bytes

#: Pixels of a picture, and bytes of all pictures of a page. More fills the memory of a browser.
_PIXELS, _BYTES = 50_000_000, 256_000_000
#: Points on a side at which a picture is looked at, what is white, and how much of a chart is.
_SAMPLE, _WHITE, _PAPER = 64, 250, 0.55
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG file as it stands on a page.

    Attributes:
        source: a data URI.
        width: pixels.
        height: pixels.
        caption: in words.
        is_chart: it is mostly white paper, which a dark page shows dark.
        alt: description for those who do not see it; empty: the caption.
        rows: all that the picture shows, folded below it; None: nothing.
    """

    source: str
    width: int
    height: int
    caption: str
    is_chart: bool = False
    alt: str = ""
    rows: Table | None = None


def read_picture(path: Path, caption: str, alt: str = "") -> Picture:
    """Read a PNG file.

    Args:
        path: of the file.
        caption: in words.
        alt: its description; empty: the caption.

    Raises:
        InputError: for a file that is damaged, as PNG files carry checksums, or too large.
    """
    content = path.read_bytes()
    damaged = InputError(f"the picture {path} is damaged; delete it or make it again")
    try:
        if not content.startswith(_SIGNATURE):
            raise damaged
        # Pillow only warns of the sizes that fill the memory of a browser.
        width, height = struct.unpack(">II", content[16:24])
        if width * height > _PIXELS:
            raise InputError(
                f"the picture {path} has {width} x {height} pixels, and a page takes "
                f"{_PIXELS:,} at most; move it elsewhere"
            )
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size != (width, height):
                raise damaged
            image.verify()
        is_chart = _is_chart(content)
    except (
        OSError,
        SyntaxError,
        ValueError,
        LookupError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ):
        raise damaged from None
    data = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", width, height, caption, is_chart, alt)


def _is_chart(content: bytes) -> bool:
    """Tell whether most of a picture is white paper; images of the sky are dark or coloured."""
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        small = image.convert("L").resize((_SAMPLE, _SAMPLE), Image.Resampling.NEAREST)
    white: int = sum(small.histogram()[_WHITE:])
    return white > _PAPER * _SAMPLE**2


def find_pictures(
    folder: Path,
    captions: Mapping[str, str],
    alts: Mapping[str, str] | None = None,
    rows: Mapping[str, Table] | None = None,
) -> list[Picture]:
    """Read the PNG files of a folder, by name.

    Args:
        folder: of the files.
        captions: by file name without ending; others are the file names in words.
        alts: descriptions, likewise; others are the captions.
        rows: tables that are folded below pictures, likewise.

    Raises:
        InputError: for one that is damaged, too large or outside of the folder.
    """
    paths = find_files(folder, ".png")
    check_sum(sum(path.stat().st_size for path in paths), folder)
    alts, rows = alts or {}, rows or {}
    return [
        dataclasses.replace(
            read_picture(path, caption_of(path, captions), alts.get(path.stem, "")),
            rows=rows.get(path.stem),
        )
        for path in paths
    ]


def caption_of(path: Path, captions: Mapping[str, str]) -> str:
    """The caption of a picture; else its file name in words."""
    return captions.get(path.stem) or f"{path.stem.replace('_', ' ').capitalize()}."


def check_sum(size: int, folder: Path) -> None:
    """Refuse more bytes of pictures than a page holds.

    Raises:
        InputError: for them.
    """
    if size > _BYTES:
        raise InputError(
            f"the pictures in {folder} have {describe_bytes(size)} and more, and a page holds "
            f"{describe_bytes(_BYTES)}; report a folder below, or move some elsewhere"
        )
