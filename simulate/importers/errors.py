"""One broken file among many."""

from __future__ import annotations


class BrokenFileError(Exception):
    """A file that cannot be imported. The message says why, in less than a line."""


def printable(text: str) -> str:
    """Text of a stranger for one line of a terminal: nothing in it can move the cursor."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
