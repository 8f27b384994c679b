"""A page needs nothing but itself."""

import base64
import re
from pathlib import Path

from learn.reporting.html_page import Section, is_page, render_page
from learn.reporting.pictures import Picture
from learn.reporting.table import Entry, Table
from tests.learn.reporting.conftest import (
    CLASSIFIED,
    HOSTILE,
    Page,
    compared,
    draw,
    finetuned,
    folders,
    read_report,
)


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    for folder in folders(tmp_path):
        found = read_report(folder)
        assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.tags}
        assert [attrs for attrs in found.all("script") if attrs] == [], "scripts are inline"
        assert all(
            (img["src"] or "").startswith("data:image/png;base64,") for img in found.all("img")
        )
        assert all((a["href"] or "").startswith("#") for a in found.all("a"))
        for token in ("http://", "https://", "url(", "@import"):
            assert token not in found.text
        policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv"))
        assert "default-src 'none'" in (policy or "")
        assert any(m.get("name") == "viewport" for m in found.all("meta"))
        assert "prefers-color-scheme" in found.text


def test_a_picture_is_on_the_page_to_the_last_byte(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    draw(run / "my_residuals.png")
    found = read_report(run).all("img")
    losses = "train loss from 1.5 to 1.5, val loss from 1.25 to 1.25"
    loss = f"Line chart of the loss against the epoch, from 1 to 1: {losses}."
    assert [img["alt"] for img in found] == [loss, "My residuals."]
    data = (found[0]["src"] or "").partition(",")[2]
    assert base64.b64decode(data) == (run / "loss.png").read_bytes()
    assert (found[0]["width"], found[0]["height"]) == ("8", "6")


def test_names_from_files_cannot_become_markup(tmp_path: Path) -> None:
    metrics = CLASSIFIED | {"auc": {HOSTILE: 0.5}, "radial_auc": {HOSTILE: 0.5}}
    run = finetuned(tmp_path / "run", "classify", metrics, data=HOSTILE, backbone=HOSTILE)
    draw(run / "<b>&amp;.png")
    found = read_report(run)
    assert len(found.all("script")) == 1
    assert found.all("b") == []
    assert "<script>alert" not in found.text
    assert f"AUC {HOSTILE}" in [row[0] for row in found.tables[0]]
    assert f"on {HOSTILE}" in found.said


def test_every_head_is_a_button_that_says_how_it_is_sorted(tmp_path: Path) -> None:
    found = read_report(compared(tmp_path / "smoke"))
    heads = [attrs for attrs in found.all("th") if attrs.get("scope") == "col"]
    assert len(heads) == sum(len(table[0]) for table in found.tables)
    assert {attrs["aria-sort"] for attrs in heads} == {"none"}
    sorting = [attrs for attrs in found.all("button") if attrs.get("class") != "zoom"]
    assert len(sorting) == len(heads)
    scrolled = [attrs for attrs in found.all("div") if attrs.get("class") == "scroll"]
    assert len(scrolled) == len(found.tables)
    assert all(attrs["tabindex"] == "0" for attrs in scrolled), "keys scroll what is too wide"


def test_what_has_no_order_carries_no_number() -> None:
    numbers = [Entry("x", float("nan")), Entry("y", float("inf")), Entry("z", 1e-3), Entry("–")]
    found = Page(
        render_page("t", "l", [Section("", tables=[Table("c", ("a", "b", "c", "d"), [numbers])])])
    )
    assert found.values[0][1] == [None, "Infinity", "0.001", None]


def test_bytes_and_escapes_of_names_are_shown_as_codes() -> None:
    page = render_page("a\x1b]0;x\x07", "caf\udce9", [Section("\u202egnp")])
    found = Page(page)
    assert r"a\x1b]0;x\x07 caf\xe9 \u202egnp" in found.said
    assert "\x1b" not in page
    page.encode("utf-8")


def test_a_page_is_known_by_its_mark(tmp_path: Path) -> None:
    ours, other = tmp_path / "ours.html", tmp_path / "other.html"
    ours.write_text(render_page("t", "l", []))
    other.write_text("<!DOCTYPE html>" + " " * 9999 + ours.read_text())
    assert is_page(ours)
    assert not is_page(other)


def test_contents_lead_to_every_part_with_a_title() -> None:
    parts = [
        Section("", anchor="a"),
        Section("One & two", anchor="b"),
        Section("Three", anchor="c"),
    ]
    page = render_page("T", "L", parts)
    (contents,) = re.findall(r"<nav.*?</nav>", page, re.DOTALL)
    assert re.findall(r'href="(#\w)">([^<]+)<', contents) == [
        ("#b", "One &amp; two"),
        ("#c", "Three"),
    ]
    assert "<nav" not in render_page("T", "L", parts[:2])


def test_pictures_open_and_charts_turn_dark_with_the_page() -> None:
    chart = Picture("data:,a", 10, 20, "chart", is_chart=True)
    pictures = [chart, Picture("data:,b", 10, 20, "sky")]
    page = render_page("T", "L", [Section("S", pictures=pictures)])
    assert page.count('class="zoom"') == 2
    assert page.count('<img class="chart"') == 1
    assert "img.chart { filter: invert" in page
