"""A page that needs no other file and no network: its pictures, style and script are in it."""

from __future__ import annotations

import base64
import dataclasses
import functools
import math
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from learn.reporting.table import Table
from lensphys.ground.errors import InputError
from lensphys.ground.names import plain_text


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG file as it stands on a page.

    Attributes:
        source: a data URI.
        width: pixels.
        height: pixels.
        caption: in words.
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
        warnings: set apart from the rest.
        notes: paragraphs on how to read the tables.
        tables: sorted by a click on the head of a column.
        pictures: in this order.
        configurations: names and YAML.
        folded: shown only after a click on its title.
        anchor: target of links from tables; unique on the page.
    """

    title: str
    facts: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    tables: list[Table] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    configurations: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    folded: bool = False
    anchor: str = ""


def read_picture(path: Path, caption: str) -> Picture:
    """Read a PNG file.

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


def render_page(title: str, lead: str, sections: list[Section]) -> str:
    """Render the HTML of a page.

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
        finalize=_printable,
    )
    environment.filters["sortable"] = _sortable
    text = resources.files("learn.reporting").joinpath("page.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text)


def _printable(value: object) -> object:
    """A value as it can be shown: names of other people's data may hold any character."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(plain_text, value.split("\n")))
    return value


def _sortable(value: float | None) -> str | None:
    """A number as JavaScript reads it; None for what has no place in an order."""
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
