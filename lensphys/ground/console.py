"""The console on which tables are printed."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lensphys.ground.names import plain_text


class PlainConsole(Console):
    """A console of rich that takes words as they are: no markup, no emoji, no escape sequence.

    Names of classes, columns and folders come from other people. What is to be coloured is a
    :class:`rich.text.Text`, which has a style of its own.
    """

    def render_str(self, text: str, **settings: Any) -> Text:
        """Render words; tables, titles and rules pass theirs through here too."""
        plain = "\n".join(map(plain_text, text.split("\n")))
        return super().render_str(plain, **(settings | {"markup": False, "emoji": False}))
