"""Settings of the page of sliders, and options that do not concern what is shown."""

from pathlib import Path
from typing import Any

import pytest

from learn.explore.settings import check_options
from lensphys.ground.errors import InputError


@pytest.mark.parametrize(
    ("source", "given", "message"),
    [
        (
            "lens.fits",
            {"size": 64, "hdu": "SCI"},
            "--size: lens.fits has its own size; run `{program} explore lens.fits --hdu SCI`",
        ),
        (
            "a lens.fits",
            {"index": 0},
            "--index: a lens.fits is one image, and numbers are for data sets and catalogues; run "
            "`{program} explore 'a lens.fits'`",
        ),
        (
            "data",
            {"size": 64, "index": 3, "pixel_scale": 0.1, "z_lens": "0.3"},
            "--size, --pixel-scale: the data set data has its own size and pixel scale; run "
            "`{program} explore data --index 3 --set z_lens=0.3`",
        ),
        (
            "lenses.csv",
            {"seed": 1, "index": 2, "pixel_scale": 0.1, "port": 8000},
            "--seed: lenses.csv has its own noise; run `{program} explore lenses.csv --index 2 "
            "--pixel-scale 0.1 --port 8000`",
        ),
        (
            None,
            {"index": 1, "size": 32},
            "--index: a lens without an image has no number; run `{program} explore --size 32`",
        ),
    ],
)
def test_options_for_something_else_are_refused_with_a_command_that_works(
    source: str | None,
    given: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("learn.explore.settings.program", lambda: "program")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").touch()
    for name in ("lens.fits", "a lens.fits", "lenses.csv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as refused:
        check_options(Path(source) if source else None, given)
    assert str(refused.value) == message.format(program="program")


def test_a_file_that_is_missing_is_told_by_reading_it(tmp_path: Path) -> None:
    check_options(tmp_path / "missing.fits", {"size": 64})


def test_options_that_concern_what_is_shown_pass(tmp_path: Path) -> None:
    check_options(None, {"size": 32, "pixel_scale": 0.1, "seed": 1})
    check_options(tmp_path, {"index": 1, "hdu": "SCI", "pixel_scale": 0.1})
    check_options(tmp_path / "lens.fits", {"hdu": "SCI", "z_lens": "0.3"})
