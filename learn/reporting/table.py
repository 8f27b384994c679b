"""A table before it is printed on the terminal or set on a page."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple


class Entry(NamedTuple):
    """One place of a table.

    Attributes:
        text: as it is shown.
        value: the number that it shows, by which a column is sorted; None where it shows none.
        link: to a place on the same page.
    """

    text: str
    value: float | None = None
    link: str | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: content of the table.
        head: of the columns; the first names the rows.
        rows: each as long as the head.
    """

    caption: str
    head: tuple[str, ...]
    rows: list[list[Entry]]

    @functools.cached_property
    def numeric(self) -> tuple[bool, ...]:
        """Columns that hold numbers, if not in every row."""
        return tuple(
            any(row[column].value is not None for row in self.rows)
            for column in range(len(self.head))
        )
