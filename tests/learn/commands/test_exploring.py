"""The command that opens the page of sliders."""

from pathlib import Path

import pytest

import cli


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing.fits", "nothing.fits"),
        ("{data} --index 60", "has 60 images; --index goes from 0 to 59"),
        ("--size 4", "size"),
        ("--set z_source=0.2", "z_source must be above z_lens"),
        ("{data} --size 32 --index 3", "--size: the data set"),
        ("{data} --set size=32", "--size: the data set"),
        ("--index 3", "--index: a lens without an image has no number"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    line: str, message: str, model2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["explore", *line.format(data=model2).split()])
    assert stop.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
