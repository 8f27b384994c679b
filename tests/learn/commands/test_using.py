"""Commands that use what was trained: what is refused before torch is imported."""

import pytest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evaluate none", "none is not a run; give the folder of a finished fine-tuning run"),
        ("predict none image.fits", "none is not a run; give the folder of a finished"),
        ("embed none image.fits", "none has no finished encoder; give the folder of a finished"),
        ("export none", "none is not a run; give the folder of a finished fine-tuning run"),
        ("report none", "there is no folder none"),
    ],
)
def test_bad_input_is_answered_in_one_line(refused, line, message):
    assert message in refused(line)
