"""The page on all lenses: complete in itself, with flags in words, safe with any name."""

import base64
import re

import pytest

from learn.modelling.output.outputs import write_failure, write_lens
from learn.modelling.output.page import PAGE, write_page
from learn.modelling.tables.row_files import LENSES, PICTURE, lens_file
from lensphys.ground.errors import InputError
from tests.learn.modelling.lenses import modelled
from tests.learn.reporting.conftest import HOSTILE, Page


def read(folder):
    return Page(write_page(folder).read_text(encoding="utf-8"))


def test_the_page_holds_table_flags_and_pictures(tmp_path):
    write_lens(modelled(("neighbour", "poor fit")), tmp_path)
    write_lens(modelled(name="dark", searched=False), tmp_path)
    write_failure("lost", "image.fits: it is truncated", tmp_path)
    page = read(tmp_path)
    (head, *rows), (_, *values) = page.tables[0], page.values[0]
    assert [row[0] for row in rows] == ["J1234+5678", "dark", "lost"]
    flags, radius = head.index("flags"), head.index("theta_E [arcsec]")
    assert rows[0][flags] == "neighbour; poor fit"
    assert rows[2][flags] == "no model: image.fits: it is truncated"
    assert float(values[0][radius]) == pytest.approx(1.0, abs=0.05)
    assert "±" in rows[0][radius]
    assert values[2][radius] is None
    assert "2 lenses modelled, 1 with flags; 1 without a model." in page.said
    assert "Flag: neighbour Flag: poor fit" in page.said
    assert "No model: image.fits: it is truncated" in page.said
    pictures = [image["src"].partition(",")[2] for image in page.all("img")]
    files = [lens_file(tmp_path, name, PICTURE) for name in ("J1234+5678", "dark")]
    assert [base64.b64decode(text) for text in pictures] == [path.read_bytes() for path in files]
    assert all(image["alt"] for image in page.all("img"))


def test_the_page_needs_nothing_else(tmp_path):
    write_lens(modelled(), tmp_path)
    page = read(tmp_path)
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    targets = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {a["href"] for a in page.all("a")} <= {f"#{target}" for target in targets}
    assert not [text for text in ("http:", "https:", "url(", "@import") if text in page.text]
    sorting = [attrs for attrs in page.all("button") if attrs.get("class") != "zoom"]
    assert len(sorting) == len(page.tables[0][0]), "every column is sorted by keyboard"


def test_names_and_flags_cannot_become_markup(tmp_path):
    write_lens(modelled((HOSTILE,), name=HOSTILE, notes=[HOSTILE]), tmp_path)
    write_failure("\udcff\x1b", HOSTILE, tmp_path)
    page = read(tmp_path)
    assert len(page.all("script")) == 1
    assert "<script>alert" not in page.text
    assert HOSTILE in [row[0] for row in page.tables[0]]


def test_a_picture_is_described_by_its_panels_and_what_was_found(tmp_path):
    write_lens(modelled(), tmp_path)
    (alt,) = [image["alt"] for image in read(tmp_path).all("img")]
    assert alt.startswith("J1234+5678: six panels, in arcsec: image,")
    assert re.search(r"Einstein radius [\d.]+( ± [\d.]+)? arcsec\. chi\^2/dof [\d.]+\.$", alt)


def test_a_page_with_more_pictures_than_it_holds_names_the_others(tmp_path, monkeypatch):
    write_lens(modelled(), tmp_path)
    monkeypatch.setattr("learn.modelling.output.page._MOST", 1000)
    page = read(tmp_path)
    assert page.all("img") == []
    assert f"This page has no room for the picture: see {LENSES}/J1234+5678.png." in page.said


def test_a_page_of_someone_else_is_kept(tmp_path):
    write_failure("a", "no PSF", tmp_path)
    (tmp_path / PAGE).write_text("<html>mine</html>")
    with pytest.raises(InputError, match="is no page of the program"):
        write_page(tmp_path)
    assert write_page(tmp_path, overwrite=True).read_text().startswith("<!DOCTYPE html>")
    write_page(tmp_path)
