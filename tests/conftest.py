"""Fixtures that tests of several floors share."""

import shlex

import pytest


@pytest.fixture
def call(capsys):
    """Runs a command line in this process: exit code, standard output, standard error."""
    import cli

    def run(line: str) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(shlex.split(line))
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
