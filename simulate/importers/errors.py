"""One broken file among many."""

from __future__ import annotations

from lensphys.ground.names import plain_text, shorten


class BrokenFileError(Exception):
    """A file that cannot be imported. The message is the reason, in less than a line."""


def escape(text: str) -> str:
    """Write text of a stranger so that nothing in it moves the cursor of a terminal."""
    return shorten(plain_text(text), 200)
