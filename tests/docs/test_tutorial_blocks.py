"""The pages to be followed from top to bottom run as they stand, and print what they show.

A page is a row of fenced blocks. `bash` and `python` run in order, all of them in one folder and
Python in one namespace; a `text` block is what the block before it prints. Blocks without a
language, such as the installation, are not run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import cli

ROOT = Path(__file__).parents[2]
PAGES = ["tutorial", "own_cutouts"]
FENCED = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CLI = "python cli.py "


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Language and code of every block that runs, and the output that the page shows after it."""
    found = FENCED.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    for (language, code), (following, shown) in pairwise([*found, ("", "")]):
        if language != "text":
            yield language, code, shown if following == "text" else ""


def run_bash(code: str) -> int:
    """The exit code of the first command that fails, or 0; `cli.py` runs in this process."""
    for command in code.replace("\\\n", " ").splitlines():
        # Importing torch once, and not for every command, is most of the time of a page.
        status = run_cli(command) if command.startswith(CLI) else run_shell(command)
        if status:
            return status
    return 0


def run_cli(command: str) -> int:
    try:
        cli.main(expanded(command.removeprefix(CLI)))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def expanded(arguments: str) -> list[str]:
    """Arguments as bash hands them on, quotes gone and wildcards replaced by files."""
    printed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {arguments}"], capture_output=True, text=True, check=True
    )
    return printed.stdout.split("\0")[:-1]


def run_shell(command: str) -> int:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode


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
