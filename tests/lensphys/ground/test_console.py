"""A console that takes names as they are."""

import rich.table

from lensphys.ground.console import PlainConsole

NAMES = ["x[/]", "r[bold]", ":smile:", "\\[x]", "a\\", "\x1b]0;pwned\x07", "caf\udce9"]


def printed_forms(name: str, capsys) -> str:
    """Print a name alone, as title, head and cell of a table, and on a rule."""
    console = PlainConsole(width=100)
    table = rich.table.Table(title=name)
    table.add_column(name)
    table.add_row(name)
    for shown in (name, table):
        console.print(shown)
    console.rule(name)
    return capsys.readouterr().out


def test_brackets_in_names_are_only_names(capsys):
    for name in NAMES[:5]:
        assert printed_forms(name, capsys).count(name) == 5


def test_escape_sequences_are_written_as_codes(capsys):
    assert printed_forms(NAMES[5], capsys).count(r"\x1b]0;pwned\x07") == 5


def test_bytes_that_are_no_text_are_written_as_codes(capsys):
    assert printed_forms(NAMES[6], capsys).count(r"caf\xe9") == 5


def test_lines_of_a_text_stay(capsys):
    PlainConsole(width=100).print("a\nb")
    assert capsys.readouterr().out == "a\nb\n"
