"""A page that needs no other file and no network: its pictures, style and script are in it."""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from PIL import Image

from learn.reporting.sheet import Sheet
from lensphys.ground.errors import InputError


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG file, as it stands on the page.

    Attributes:
        source: a data URI.
        width: pixels.
        height: pixels.
        caption: what is to be seen, in words.
    """

    source: str
    width: int
    height: int
    caption: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page, from top to bottom.

    Attributes:
        title: of the section.
        facts: names and values.
        warnings: what the reader must not miss.
        notes: paragraphs on how to read the tables.
        sheets: tables, sorted by a click on the head of a column.
        pictures: of the run.
        configurations: names and YAML.
        folded: shown when it is clicked on.
        anchor: by which a table links to it; unique on the page.
    """

    title: str
    facts: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    sheets: list[Sheet] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    configurations: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    folded: bool = False
    anchor: str = ""


def picture(path: Path, caption: str) -> Picture:
    """A PNG file as it stands on a page.

    Raises:
        InputError: for a file that is damaged; PNG files carry checksums.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            width, height = image.size
            image.verify()
    except (OSError, SyntaxError, ValueError, EOFError):
        raise InputError(f"the picture {path} is damaged; delete it or make it again") from None
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return Picture(f"data:image/png;base64,{data}", width, height, caption)


def page(title: str, lead: str, sections: list[Section]) -> str:
    """The HTML of a page.

    Args:
        title: of the page.
        lead: one sentence below it.
        sections: the parts, of which the first needs no title.
    """
    return _template().render(title=title, lead=lead, sections=sections)


@functools.cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sortable"] = _sortable
    text = resources.files("learn.reporting").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _sortable(value: float | None) -> str | None:
    """A number as JavaScript reads it; None for what has no place in an order."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
