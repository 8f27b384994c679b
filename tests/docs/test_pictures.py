"""Every picture that a page shows is there, and shows what the code draws."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(
        path
        for path in DOCS.rglob("*.md")
        if path.relative_to(DOCS).parts[0] not in ("_build", "generated")
    ),
]
#: Drawn by their scripts whenever the site is built.
BUILT = {
    DOCS / "generated" / "examples" / f"{script.stem}.png"
    for script in (DOCS / "tutorials").glob("*.py")
}
KEPT = ("augmentations.png", "code_map.png", "instruments.png", "overview.png", "presets.png")


def pictures_of(page: Path) -> set[Path]:
    links = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return {(page.parent / link).resolve() for link in links if "://" not in link}


def ignored(path: Path) -> bool:
    """Tell whether git ignores a file, so that a clone does not have it."""
    found = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    return found.returncode == 0


def missing_from(page: Path) -> set[Path]:
    return {
        picture
        for picture in pictures_of(page) - BUILT
        if not picture.is_file() or ignored(picture)
    }


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_picture_on_a_page_is_in_the_repository_or_drawn_with_the_site(page):
    assert not missing_from(page)


def test_a_page_without_its_picture_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("![a](gone.png) ![there](there.png) ![far](https://example.org/far.png)\n")
    (tmp_path / "there.png").touch()
    assert missing_from(page) == {(tmp_path / "gone.png").resolve()}


@pytest.fixture
def drawn(monkeypatch):
    """`KEPT` of `docs/kept_pictures.py`."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import kept_pictures

    yield kept_pictures.KEPT
    for name in ("code_map", "kept_pictures", "overview", "pictures"):
        del sys.modules[name]


@pytest.mark.parametrize("name", KEPT)
def test_a_picture_in_the_repository_is_small_and_what_the_code_draws(name, drawn, tmp_path):
    assert set(drawn) == set(KEPT)
    kept = ROOT / "docs" / "images" / name
    assert kept.stat().st_size < 200_000
    drawn[name](tmp_path / name)
    # Coarse: another version of matplotlib may set type a little differently.
    ours, theirs = (
        np.asarray(Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BOX), float)
        for path in (kept, tmp_path / name)
    )
    assert np.abs(ours - theirs).mean() < 2.0, "run `python docs/kept_pictures.py`"
