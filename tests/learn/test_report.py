"""The report: one page that holds everything, or one line that says why there is none."""

import base64
import json
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import cli
from learn.reporting.page import Section, page, picture
from learn.reporting.report import report
from learn.reporting.sheet import Entry, Sheet
from lensphys.ground.errors import InputError

HOSTILE = "<script>alert('x')</script>&\"quoted\""
VOID = {"meta", "img", "br", "link", "input", "hr"}
CLASSIFIED = {
    "accuracy": 0.8125,
    "macro_auc": 0.9,
    "auc": {"no_sub": 0.95, "cdm": 0.85},
    "f1": {"no_sub": 0.8, "cdm": 0.7},
    "confusion": [[4, 0], [1, 3]],
    "ece": 0.05,
    "radial_accuracy": 0.75,
    "radial_macro_auc": 0.7,
    "radial_auc": {"no_sub": 0.6, "cdm": 0.65},
    "radial_ece": 0.1,
}
SUPERRESOLVED = {"mse": 4e-4, "psnr": 34.5, "ssim": 0.7} | {
    "bicubic_mse": 5e-4,
    "bicubic_psnr": 33.25,
    "bicubic_ssim": 0.65,
}
FOUND = {
    f"{prefix}{name}": 0.5
    for prefix in ("", "radial_")
    for name in ("auc", "tpr_at_fpr_1e-2", "tpr_at_fpr_1e-3", "accuracy", "completeness", "purity")
} | {"lenses": 9, "non_lenses": 6, "false_positive_rate": {"ring": 0.25}}
REGRESSED = {
    name: {"theta_E": value}
    for name, value in (("mae", 0.01), ("radial_mae", 0.02), ("mean_mae", 0.03), ("r2", 0.9))
} | {"coverage68": {"theta_E": 0.7}, "coverage95": {"theta_E": 0.96}}


class Page(HTMLParser):
    """What a browser would find on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.values: list[list[list[str | None]]] = []
        self.within: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.within == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.within.append(tag)
        if tag == "table":
            self.tables.append([])
            self.values.append([])
        if tag == "tr":
            self.tables[-1].append([])
            self.values[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self.values[-1][-1].append(dict(attrs).get("data-value"))

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & {*self.within}:
            self.words.append(data)
        if {"th", "td"} & {*self.within}:
            self.tables[-1][-1][-1] += data.strip()

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def draw(path: Path) -> None:
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(path)


def finetuned(folder: Path, task: str, metrics: dict[str, Any], **config: Any) -> Path:
    """The files of a finished run that a report reads."""
    folder.mkdir(parents=True)
    values = {"data": "data/model3", "seed": 4, "task": task, "encoder": "none", "mode": "full"}
    (folder / "config.yaml").write_text(yaml.safe_dump(values | config))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n0,2,1.5,\n0,2,,1.25\n")
    about = {"task": task, "data": {"attrs": {"model": 3, "preset": "physical"}}}
    (folder / "encoder.json").write_text(json.dumps(about))
    draw(folder / "loss.png")
    return folder


def pretrained(folder: Path, signs: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    values = {"data": "data/model2", "seed": 0, "method": "mae"}
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    (folder / "metrics.csv").write_text("epoch,step,train_loss,rank\n0,2,0.5,\n1,4,0.25,2.5\n")
    monitor = {"linear_probe": 0.5, "rank": 2.5, "collapsed": 0, "signs_of_collapse": list(signs)}
    about = {"method": "mae", "data": {"model": 2, "preset": "published"}, "monitor": monitor}
    (folder / "encoder.json").write_text(json.dumps(about | {"images": 60, "epochs": 2}))
    draw(folder / "loss.png")
    return folder


def compared(folder: Path) -> Path:
    """Cells of four rows and two seeds: accuracies 0.5 and 0.6, a twentieth more a row."""
    (folder / "cells").mkdir(parents=True)
    rows = (("radial", None), ("scratch", None), ("mae", 2), ("mae:plan", 2))
    for number, (method, source) in enumerate(rows):
        for seed in (0, 1):
            accuracy = 0.5 + 0.1 * seed + 0.05 * number
            cell = {
                "method": method,
                "preset": "published",
                "pretrain_model": source,
                "finetune_model": 3,
                "task": "classify",
                "mode": "full" if method in ("scratch", "mae:plan") else "linear",
                "labels_per_class": "all" if method == "mae:plan" else 10,
                "seed": seed,
                "metrics": {"accuracy": accuracy, "macro_auc": 0.75, "radial_accuracy": 0.25},
                "config": {"data": {"n": 60}},
                "commit": "0123456789ab",
                "seconds": 1.5,
            }
            (folder / "cells" / f"{number}_seed{seed}.json").write_text(json.dumps(cell))
    draw(folder / "label_efficiency.png")
    return folder


def reported(folder: Path) -> Page:
    return Page(report(folder).read_text(encoding="utf-8"))


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Any:
    """Runs a command line that must be refused, and returns the one line that says why."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            cli.main(shlex.split(line))
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return captured.err

    return run


# A page needs nothing but itself.


def folders(tmp_path: Path) -> list[Path]:
    return [
        finetuned(tmp_path / "runs/classify", "classify", CLASSIFIED),
        finetuned(tmp_path / "runs/superres", "superres", SUPERRESOLVED),
        finetuned(tmp_path / "runs/find", "find", FOUND),
        finetuned(tmp_path / "runs/regress", "regress", REGRESSED),
        pretrained(tmp_path / "runs/mae"),
        compared(tmp_path / "results/smoke"),
        tmp_path,
    ]


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    for folder in folders(tmp_path):
        found = reported(folder)
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
    found = reported(run).all("img")
    assert [img["alt"] for img in found] == ["Loss against the epoch.", "My residuals."]
    data = (found[0]["src"] or "").partition(",")[2]
    assert base64.b64decode(data) == (run / "loss.png").read_bytes()
    assert (found[0]["width"], found[0]["height"]) == ("8", "6")


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    first = report(run).read_bytes()
    assert report(run, tmp_path / "other.html").read_bytes() == first


def test_names_from_files_cannot_become_markup(tmp_path: Path) -> None:
    metrics = CLASSIFIED | {"auc": {HOSTILE: 0.5}, "radial_auc": {HOSTILE: 0.5}}
    run = finetuned(tmp_path / "run", "classify", metrics, data=HOSTILE, backbone=HOSTILE)
    draw(run / "<b>&amp;.png")
    found = reported(run)
    assert len(found.all("script")) == 1
    assert found.all("b") == []
    assert "<script>alert" not in found.text
    assert f"AUC {HOSTILE}" in [row[0] for row in found.tables[0]]
    assert f"on {HOSTILE}" in found.said


# What is on it.


@pytest.mark.parametrize(
    ("task", "metrics", "head", "row"),
    [
        ("classify", CLASSIFIED, "radial features", ["accuracy", "0.812", "0.750"]),
        ("classify", CLASSIFIED, "radial features", ["AUC no_sub", "0.950", "0.600"]),
        ("classify", CLASSIFIED, "radial features", ["F1 cdm", "0.700", "–"]),
        ("superres", SUPERRESOLVED, "bicubic", ["psnr", "34.50 dB", "33.25 dB"]),
        ("find", FOUND, "radial features", ["completeness", "0.500", "0.500"]),
        ("regress", REGRESSED, "radial", ["theta_E", "0.01", "0.02"]),
    ],
)
def test_metrics_stand_beside_their_baseline(
    task: str, metrics: dict[str, Any], head: str, row: list[str], tmp_path: Path
) -> None:
    found = reported(finetuned(tmp_path / "run", task, metrics))
    table = found.tables[0]
    assert table[0][1:3] == ["this run", head]
    assert row in [line[:3] for line in table]
    said = found.said
    assert f"Fine-tuning for {task} on data/model3" in said
    assert "Preset physical" in said
    assert "Seed 4" in said
    assert "encoder: none" in said, "the configuration"
    assert ["val loss", "1.25", "1"] in found.tables[1]


def test_a_pretraining_run_tells_what_was_watched_and_whether_it_collapsed(tmp_path: Path) -> None:
    found = reported(pretrained(tmp_path / "run", ("the features span 1.2 directions",)))
    assert ["rank", "2.500"] in found.tables[0]
    assert ["train loss", "0.25", "2"] in found.tables[1]
    assert "Collapsed: the features span 1.2 directions." in found.said
    assert "Images 60" in found.said


def test_an_unfinished_run_is_called_so(tmp_path: Path) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    for name in ("metrics.json", "encoder.json"):
        (run / name).unlink()
    assert "This run is not finished" in reported(run).said


@pytest.mark.parametrize("config", [None, "other: 1\n"])
def test_an_evaluation_without_the_configuration_of_a_run_is_reported(
    config: str | None, tmp_path: Path
) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    for name in ("config.yaml", "encoder.json", "metrics.csv"):
        (run / name).unlink()
    if config:
        (run / "config.yaml").write_text(config)
    found = reported(run)
    assert "Evaluation" in found.said
    assert ["accuracy", "0.812", "0.750"] in found.tables[0]


def test_a_comparison_has_means_with_intervals_by_which_it_is_sorted(tmp_path: Path) -> None:
    found = reported(compared(tmp_path / "smoke"))
    table, values = found.tables[0], found.values[0]
    assert table[0] == ["method", "pretrained on", "linear 10", "full 10"]
    # Half of the interval: 12.7062 (Student, one degree of freedom) times 0.1 / 2.
    assert table[1] == ["radial", "–", "0.550 ± 0.635 (2)", "–"]
    assert [row[0] for row in table[1:]] == ["radial", "scratch", "mae"]
    assert float(values[1][2] or "nan") == pytest.approx(0.55)
    assert values[1][3] is None
    assert table[2][3] == "0.600 ± 0.635 (2)"
    (plan,) = [rows for rows in found.tables if rows[0][:3] == ["metric", "published", "here"]]
    assert plan[1] == ["accuracy", "0.67", "0.700 ± 0.635 (2)", "0.250 ± 0.000 (2)"]
    cells = found.tables[-1]
    assert len(cells) == 1 + 8
    assert "Code 0123456789ab" in found.said
    assert "n: 60" in found.said


def test_a_tier_of_ones_own_has_no_published_numbers(tmp_path: Path) -> None:
    found = reported(compared(tmp_path / "mine"))
    assert "Protocol" not in found.said
    assert "mae:plan" in [row[0] for row in found.tables[0]]


def test_every_head_is_a_button_that_says_how_it_is_sorted(tmp_path: Path) -> None:
    found = reported(compared(tmp_path / "smoke"))
    heads = [attrs for attrs in found.all("th") if attrs.get("scope") == "col"]
    assert len(heads) == sum(len(table[0]) for table in found.tables)
    assert {attrs["aria-sort"] for attrs in heads} == {"none"}
    assert len(found.all("button")) == len(heads)
    scrolled = [attrs for attrs in found.all("div") if attrs.get("class") == "scroll"]
    assert len(scrolled) == len(found.tables)
    assert all(attrs["tabindex"] == "0" for attrs in scrolled), "keys scroll what is too wide"


def test_several_runs_are_tabulated_and_linked(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "data").mkdir()
    found = reported(tmp_path)
    assert "5 runs and 1 comparison." in found.said
    links = {a["href"] for a in found.all("a")}
    assert links == {f"#{attrs['id']}" for attrs in found.all("details") if "id" in attrs}
    assert len(links) == 5
    (table,) = [
        rows for rows in found.tables if rows[0][:2] == ["run", "data"] and "psnr" in rows[0]
    ]
    shown = dict(zip(*table, strict=True))
    assert shown["run"] == "runs/superres"
    assert (shown["psnr"], shown["bicubic psnr"]) == ("34.50 dB", "33.25 dB")
    assert "Comparison results/smoke" in found.said


def test_what_has_no_order_carries_no_number() -> None:
    numbers = [Entry("x", float("nan")), Entry("y", float("inf")), Entry("z", 1e-3), Entry("–")]
    found = Page(
        page("t", "l", [Section("", sheets=[Sheet("c", ("a", "b", "c", "d"), [numbers])])])
    )
    assert found.values[0][1] == [None, "Infinity", "0.001", None]


# What cannot be reported.


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("metrics.json", "metrics.json is damaged; delete it and run the finetune command again"),
        ("encoder.json", "encoder.json is damaged"),
        ("config.yaml", "config.yaml"),
        ("metrics.csv", "metrics.csv is damaged"),
        ("loss.png", "loss.png is damaged"),
    ],
)
def test_a_damaged_file_is_named(spoil: str, message: str, tmp_path: Path, refused: Any) -> None:
    run = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    content = (run / spoil).read_bytes()
    spoilt = {"metrics.csv": b"epoch,train_loss\nx,y\n", "loss.png": content[:-30]}
    (run / spoil).write_bytes(spoilt.get(spoil, b"{]"))
    assert message in refused("report run")
    assert message in refused("report .")


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        {},
        {"accuracy": "0.9"},
        {"accuracy": 0.9, "auc": {"cdm": "x"}},
        {"mae": 3},
        {"completeness": 1.0},
    ],
)
def test_metrics_of_another_kind_are_damaged_too(
    metrics: Any, tmp_path: Path, refused: Any
) -> None:
    finetuned(tmp_path / "run", "classify", metrics)
    assert "metrics.json is damaged" in refused("report run")


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {}},
        {"metrics": {"accuracy": "x", "macro_auc": 0.5}},
        {"task": "superres", "metrics": {}},
        {"seed": "first"},
        {"labels_per_class": None},
    ],
)
def test_a_damaged_cell_is_named(change: dict[str, Any], tmp_path: Path, refused: Any) -> None:
    path = compared(tmp_path / "smoke") / "cells/0_seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert f"{path.relative_to(tmp_path)} is damaged; delete it" in refused("report smoke")
    path.write_text("{")
    assert "is damaged; delete it" in refused("report smoke")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("report nowhere", "there is no folder nowhere"),
        ("report empty", "empty holds no run and no comparison to report; make one with"),
        ("report run --out empty", "empty is a folder; give the name of a file"),
        ("report run --out nowhere/r.html", "cannot write nowhere/r.html: No such file"),
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


def test_only_png_files_are_pictures(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png", format="GIF")
    with pytest.raises(InputError, match=r"a\.png is damaged"):
        picture(tmp_path / "a.png", "")


# The command.


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


def test_the_page_of_a_real_run(classifier: Path, tmp_path: Path) -> None:
    page = Page(report(classifier, tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "accuracy" in [row[0] for row in page.tables[0]]
    assert len(page.all("img")) == len(list(classifier.glob("*.png"))) >= 3
