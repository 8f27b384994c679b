"""A page that needs no other file and no network: its pictures, style and script are in it."""

from __future__ import annotations

import dataclasses
import functools
import math
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from learn.reporting.pictures import Picture
from learn.reporting.table import Table
from lensphys.ground.names import plain_text

#: The line in the head of a page by which it is known again.
_MARK = '<meta name="generator" content="lensphys report">'
#: Bytes of a file in which that line stands.
_HEAD = 512


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


def is_page(path: Path) -> bool:
    """Tell whether a file is a page of this program."""
    with path.open("rb") as file:
        return _MARK.encode() in file.read(_HEAD)


def render_page(title: str, lead: str, sections: list[Section]) -> str:
    """Render the HTML of a page.

    Args:
        title: of the page.
        lead: one sentence below it.
        sections: the parts, of which the first needs no title.
    """
    return _template().render(title=title, lead=lead, sections=sections, mark=Markup(_MARK))


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
