"""The program is named as it was started."""

import sys

import pytest

from lensphys.ground.program import program


@pytest.mark.parametrize(
    ("started", "name"),
    [
        ("/home/me/lensphys/cli.py", "python cli.py"),
        ("/usr/local/bin/lensphys", "lensphys"),
        ("lensphys.exe", "lensphys"),
        ("/usr/bin/pytest", "python cli.py"),
        ("", "python cli.py"),
    ],
)
def test_the_program_is_named_as_it_was_started(monkeypatch, started, name):
    monkeypatch.setattr(sys, "argv", [started, "simulate"])
    assert program() == name
