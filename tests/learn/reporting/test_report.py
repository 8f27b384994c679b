"""The report: one page that holds everything, or one line that says why there is none."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import cli
from learn.reporting.report import report
from lensphys.ground.errors import InputError
from tests.learn.reporting.conftest import (
    CLASSIFIED,
    finetuned,
    folders,
    read_report,
)


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    first = report(run).read_bytes()
    assert report(run, tmp_path / "other.html").read_bytes() == first


def test_several_runs_are_tabulated_and_linked(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "data").mkdir()
    found = read_report(tmp_path)
    assert "5 runs and 1 comparison." in found.said
    links = {a["href"] for a in found.all("a")}
    parts = [*found.all("details"), *found.all("section")]
    assert links == {f"#{attrs['id']}" for attrs in parts if "id" in attrs}
    assert len([link for link in links if link.startswith("#run-")]) == 5
    (table,) = [
        rows for rows in found.tables if rows[0][:2] == ["run", "data"] and "psnr" in rows[0]
    ]
    shown = dict(zip(*table, strict=True))
    assert shown["run"] == "runs/superres"
    assert (shown["psnr"], shown["bicubic psnr"]) == ("34.50 dB", "33.25 dB")
    assert "Comparison results/smoke" in found.said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report nowhere", "there is no folder nowhere"),
        ("report empty", "empty holds no run and no comparison to report; make one with"),
        ("report run --out empty", "empty is a folder; name a file"),
        ("report run --out nowhere/r.html", "cannot write nowhere/r.html: No such file"),
        ("report run --out run/config.yaml", "is no page of a report; choose another --out"),
        ("report run --out /dev/null", "/dev/null is a device"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    line: str, message: str, tmp_path: Path, refused: Any
) -> None:
    (tmp_path / "empty").mkdir()
    finetuned(tmp_path / "run", "classify", CLASSIFIED)
    assert message in refused(line)


def test_a_page_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    old = report(run).read_bytes()
    (run / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        report(run)
    assert (run / "report.html").read_bytes() == old


def test_the_command_says_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    finetuned(tmp_path / "run", "classify", CLASSIFIED)
    for line, said in (
        ("report run", "wrote run/report.html"),
        ("report run --out r.html", "wrote r.html"),
        ("report --help", "Example: python cli.py report results/small"),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(shlex.split(line))
        assert not stop.value.code
        assert said in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.tmp"))


def test_only_a_page_is_replaced_by_a_page(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    mine = tmp_path / "mine.html"
    mine.write_text("<!DOCTYPE html>my own")
    with pytest.raises(InputError, match="--overwrite"):
        report(run, mine)
    assert mine.read_text() == "<!DOCTYPE html>my own"
    report(run, mine, overwrite=True)
    assert report(run, mine).read_text().count("my own") == 0


@pytest.mark.parametrize("name", ["config.yaml", "metrics.json", "metrics.csv", "a.png"])
def test_a_page_shows_nothing_from_outside_of_the_folder(tmp_path: Path, name: str) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    secret = finetuned(tmp_path / "other", "classify", CLASSIFIED) / name
    secret.touch()
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(secret)
    with pytest.raises(InputError, match="not inside of it"):
        report(run)
    assert not (run / "report.html").exists()


def test_what_a_killed_command_left_is_cleared(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    left = run / f".report.html.{'0' * 32}.tmp"
    left.touch()
    report(run)
    assert not left.exists()
