"""Pictures on a page: whole, and not too large for a browser."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from learn.reporting.pictures import check_sum, find_pictures, read_picture
from lensphys.ground.errors import InputError
from tests.learn.reporting.conftest import draw


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def bomb(path: Path, *sides: int) -> None:
    """A PNG file of few bytes that claims so many pixels on its sides, one after the other."""
    heads = [chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) for side in sides]
    body = chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(heads) + body)


def test_only_png_files_are_pictures(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(InputError, match=r"a\.png is damaged"):
        read_picture(tmp_path / "a.png", "")


def test_a_picture_that_claims_too_many_pixels_is_refused_with_the_limit(tmp_path: Path) -> None:
    bomb(tmp_path / "a.png", 60000)
    with pytest.raises(InputError, match=r"has 60000 x 60000 pixels, .* 50,000,000 at most"):
        read_picture(tmp_path / "a.png", "")


def test_a_second_head_of_a_picture_is_damage(tmp_path: Path) -> None:
    bomb(tmp_path / "a.png", 4, 60000)
    with pytest.raises(InputError, match="is damaged"):
        read_picture(tmp_path / "a.png", "")


def test_pictures_are_found_by_name_with_their_captions(tmp_path: Path) -> None:
    draw(tmp_path / "b_c.png")
    draw(tmp_path / "a.png")
    found = find_pictures(tmp_path, {"a": "First."})
    assert [(each.caption, each.width, each.height) for each in found] == [
        ("First.", 8, 6),
        ("B c.", 8, 6),
    ]


def test_a_page_holds_so_many_bytes_of_pictures(tmp_path: Path) -> None:
    check_sum(256_000_000, tmp_path)
    with pytest.raises(InputError, match="a page holds 256 MB"):
        check_sum(256_000_001, tmp_path)


def test_white_paper_is_a_chart_and_a_dark_sky_none(tmp_path: Path) -> None:
    for name, value, expected in (("chart", 255, True), ("sky", 10, False), ("grey", 200, False)):
        pixels = np.full((40, 60, 3), value, np.uint8)
        pixels[10:20, 10:30] = 90
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        assert read_picture(tmp_path / f"{name}.png", name).is_chart is expected
