"""One broken file among many."""

from __future__ import annotations


class BrokenFileError(Exception):
    """A file that cannot be imported. The message is the reason, in less than a line."""


def escape(text: str) -> str:
    """Write text of a stranger so that nothing in it moves the cursor of a terminal."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
