"""Fenced blocks of a page, and how the tests run those of bash and Python.

Commands of ``cli.py`` run in the process of the test: importing torch once, and not for every
command, is most of the time of a page.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import cli

FENCED = re.compile(r"^```(bash|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CLI = "python cli.py "


def fenced_blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every block in a language that the tests know."""
    return FENCED.findall(page.read_text(encoding="utf-8"))


def commands(code: str) -> list[str]:
    """Return the commands of a block without continued lines and comments."""
    lines = code.replace("\\\n", " ").splitlines()
    bare = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]
    return [line for line in bare if line]


def run_command(command: str) -> int:
    """Run one command; return its exit code."""
    return run_cli(command) if command.startswith(CLI) else run_shell(command)


def run_cli(command: str) -> int:
    try:
        cli.main(expand(command.removeprefix(CLI)))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def expand(arguments: str) -> list[str]:
    """Return arguments as bash hands them on, without quotes and with files for wildcards."""
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
