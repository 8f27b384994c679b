"""Names from other people's data and file systems, as they can be shown safely.

A name may hold escape sequences that change a terminal, bytes that are no text, formulas of
matplotlib, markup of rich or Markdown. What is stored or compared is the name itself; what is
shown has passed through here.
"""

from __future__ import annotations

import re

#: Characters that a name may have on a figure, where a longer one would hide the rest.
_LONGEST = 60
#: The Unicode range in which Python keeps bytes that are no text.
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
#: Markup of Markdown; an underscore between letters is none.
_MARKDOWN = re.compile(r"([\\`*\[\]<>&|~#$]|(?<![^\W_])_|_(?![^\W_]))")


def plain_text(name: object) -> str:
    r"""A name on one line of printable characters; others are written as ``\x1b``, ``\u202e``."""
    text = str(name)
    return text if text.isprintable() else "".join(map(_show, text))


def ascii_text(name: object) -> str:
    r"""A name as FITS holds it: letters beyond ASCII are written as ``\xe9``."""
    return plain_text(name).encode("ascii", "backslashreplace").decode()


def figure_text(name: object, longest: int = _LONGEST) -> str:
    """A name as matplotlib draws it: no formula, in every legend, and not longer than this."""
    text = shorten(plain_text(name), longest).replace("$", r"\$")
    # Legends leave out labels that are empty or begin with "_".
    return f" {text}" if text[:1] in ("", "_") else text


def markdown_text(name: object) -> str:
    """A name as Markdown shows it, in a paragraph or in a table: no markup, link or HTML."""
    return _MARKDOWN.sub(r"\\\1", plain_text(name))


def shorten(text: str, longest: int) -> str:
    """A text without its middle where it is longer than this."""
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (longest - 1 - head) :]}"


def _show(character: str) -> str:
    """A character, or its code where it cannot be printed."""
    if character.isprintable():
        return character
    code = ord(character)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        code -= 0xDC00
    if code < 0x100:
        return {"\n": r"\n", "\t": r"\t", "\r": r"\r"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
