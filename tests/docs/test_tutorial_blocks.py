"""The pages to be followed from top to bottom run as they stand, and print what they show.

A page is a row of fenced blocks. `bash` and `python` run in order, all of them in one folder and
Python in one namespace; a `text` block is what the block before it prints. Blocks without a
language, such as the installation, are not run.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.fenced_blocks import commands, fenced_blocks, run_command

ROOT = Path(__file__).parents[2]
PAGES = ["tutorials/first_results", "tutorials/modelling", "how_to/own_cutouts"]


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Language and code of every block that runs, and the output that the page shows after it."""
    found = fenced_blocks(ROOT / "docs" / f"{page}.md")
    for (language, code), (following, shown) in pairwise([*found, ("", "")]):
        if language != "text":
            yield language, code, shown if following == "text" else ""


def run_bash(code: str) -> int:
    """Return the exit code of the first command that fails, or 0."""
    return next((status for command in commands(code) if (status := run_command(command))), 0)


def lines(text: str) -> list[str]:
    """Lines without what may differ from machine to machine: digits, and widths of tables."""
    text = re.sub(r"-?\d[\d.]*(e[+-]?\d+)?", "#", text)
    text = re.sub(r"([━─])\1+", r"\1", text)
    return [" ".join(line.split()) for line in re.split(r"[\n\r]", text) if line.strip()]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    scope: dict = {}
    for language, code, shown in blocks(page):
        status = 0
        if language == "bash":
            status = run_bash(code)
        else:
            exec(compile(code, f"{page}.md", "exec"), scope)
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        # A page that shows an error shows a command that has to be refused.
        assert status == (2 if shown.startswith("error: ") else 0), f"{code}\n{printed}"
        missing = [line for line in lines(shown) if line not in [*lines(printed), "..."]]
        assert not missing, f"{code}\n{printed}"


@pytest.mark.parametrize("page", PAGES)
def test_the_page_shows_an_output_for_most_commands(page):
    found = list(blocks(page))
    assert len(found) >= 5
    assert sum(bool(shown) for *_, shown in found) >= len(found) / 2
