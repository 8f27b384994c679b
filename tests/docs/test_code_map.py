"""The map of the code shows the folders that there are, and the page names the same rooms."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "how_the_code_fits_together.md"


@pytest.fixture(scope="module")
def floors():
    """`FLOORS` of `docs/code_map.py`."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return runpy.run_path(str(ROOT / "docs" / "code_map.py"))["FLOORS"]
    finally:
        sys.path.remove(str(ROOT / "docs"))
        sys.modules.pop("pictures", None)


def folders(package: str) -> set[str]:
    return {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}


@pytest.mark.parametrize("package", ["lensphys", "simulate", "learn"])
def test_the_map_shows_every_folder_of_a_package_and_no_other(package, floors):
    assert set(floors[package].rooms) == folders(package)


@pytest.mark.parametrize("package", ["lensphys", "simulate", "learn"])
def test_the_page_of_the_map_names_every_room(package, floors):
    text = PAGE.read_text(encoding="utf-8")
    for room in floors[package].rooms:
        assert f"`{package}/{room}/`" in text
