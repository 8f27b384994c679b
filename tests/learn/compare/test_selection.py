"""The part of a tier to run: names are checked before anything is imported."""

import subprocess
import sys

import pytest

from learn.compare.selection import Selection, parse_numbers
from lensphys.ground.errors import InputError
from tests.learn.compare.conftest import tier


def test_known_rows_and_presets_pass() -> None:
    Selection().check(tier("smoke"))
    Selection(("mae", "radial"), ("physical",)).check(tier("smoke"))


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(("mea",)), r"unknown method 'mea' \(did you mean 'mae'"),
        (Selection(None, ("publishd",)), r"unknown preset 'publishd'"),
    ],
)
def test_other_names_are_refused(selection: Selection, message: str) -> None:
    with pytest.raises(InputError, match=message):
        selection.check(tier("smoke"))


def test_numbers_are_read_once_each() -> None:
    assert parse_numbers(None, "--seeds") is None
    assert parse_numbers("0, 2,0", "--seeds") == (0, 2)


def test_a_selection_is_checked_without_torch() -> None:
    code = "import sys, learn.compare.selection; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
