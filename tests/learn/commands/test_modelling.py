"""The command that models lenses: what is refused before a file is opened."""

import pytest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model none.fits", "none.fits: there is no such file or folder"),
        ("model .", ".: there is no FITS image of the sky in this folder"),
        ("model none.csv", "none.csv: there is no such catalogue"),
        ("model . --noise none.fits", "--noise none.fits: there is no such file"),
        ("model . --psf none.fits", "--psf none.fits: there is no such file"),
        ("model . --field 0", "field: Input should be greater than 0 (got 0"),
        ("model . --set mas=SIE", "(did you mean 'mass'?)"),
    ],
)
def test_bad_input_is_answered_in_one_line(refused, line, message):
    assert message in refused(line)
