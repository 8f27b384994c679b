"""Names from other people's data, as they can be shown safely."""

import os
import warnings

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lensphys.ground.names import ascii_text, figure_text, markdown_text, plain_text, shorten

NASTY = [
    "$x^2$",
    "$_^$",
    "$",
    "a$b",
    "\\$",
    "\\",
    "\\frac{$",
    "_hidden",
    "[bold]x[/]",
    "<script>alert(1)</script>",
    "a|b\nc",
    "\x1b]0;pwned\x07",
    "\u202egnp.exe",
    "Ω δ",
    os.fsdecode(b"caf\xe9"),
    "",
    "x" * 10**5,
]


@pytest.mark.parametrize("name", NASTY)
def test_a_plain_text_is_one_line_of_printable_characters(name: str) -> None:
    shown = plain_text(name)
    assert shown.isprintable()
    shown.encode("utf-8")


def test_what_can_be_printed_stays() -> None:
    assert plain_text("no_sub [x] $y$ Ω – 3") == "no_sub [x] $y$ Ω – 3"


def test_what_cannot_be_printed_is_written_as_its_code() -> None:
    assert plain_text("\x1b]0;pwned\x07") == r"\x1b]0;pwned\x07"
    assert plain_text("a\nb\tc\r") == r"a\nb\tc\r"
    assert plain_text("\u202ea") == r"\u202ea"
    assert plain_text(os.fsdecode(b"caf\xe9")) == r"caf\xe9"


def test_letters_beyond_ascii_are_codes_where_a_format_holds_ascii_alone() -> None:
    assert ascii_text("café\n") == r"caf\xe9\n"
    assert ascii_text("no_sub [x]") == "no_sub [x]"


@pytest.mark.parametrize("name", NASTY)
def test_matplotlib_draws_every_name_as_it_is(name: str) -> None:
    figure = Figure(figsize=(3, 3))
    ax = figure.subplots()
    ax.plot([0, 1], [0, 1], label=figure_text(name))
    ax.set(title=f"{figure_text(name)}\nR$^2$ 0.5", xlabel=figure_text(name))
    ax.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()
    text = ax.xaxis.label
    drawn, math = text._preprocess_math(text.get_text())
    assert not math
    assert drawn.strip() == shorten(plain_text(name), 60).strip()
    assert len(ax.get_legend().get_texts()) == 1  # type: ignore[union-attr]


def test_markdown_has_no_markup_of_a_name() -> None:
    assert markdown_text("a|b\nc") == r"a\|b\\nc"
    assert markdown_text("<b>*x*</b>") == r"\<b\>\*x\*\</b\>"
    assert markdown_text("no_sub-3 Ω") == "no_sub-3 Ω"
    assert markdown_text("_x_") == r"\_x\_"


def test_a_long_text_loses_its_middle() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefgh", 5) == "ab…gh"
    assert len(shorten("x" * 1000, 60)) == 60
