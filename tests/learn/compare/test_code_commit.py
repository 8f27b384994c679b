"""Cells name the commit of the code."""

import re
import subprocess

import lensphys
from learn.compare.code_commit import read_commit


def test_the_commit_has_twelve_digits_in_a_checkout():
    assert re.fullmatch(r"[0-9a-f]{12}(-dirty)?|lensphys .+", read_commit())


def test_code_outside_of_a_checkout_is_named_by_its_version(monkeypatch):
    def no_git(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_git)
    assert read_commit() == f"lensphys {lensphys.__version__}"
