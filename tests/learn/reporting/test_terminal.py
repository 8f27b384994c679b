"""Results on the terminal: tables that are not broken, and the verdicts of an audit."""

import json

import pytest

from learn.reporting.terminal import print_audit, print_monitor, print_result, print_run, print_runs
from learn.tasks import task_report
from lensphys.ground.errors import InputError
from tests.learn.reporting.conftest import CLASSIFIED, FOUND, REGRESSED, SUPERRESOLVED, finetuned


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    ("task", "metrics", "line"),
    [
        ("classify", CLASSIFIED, ["this", "run", "0.812", "0.900", "0.950", "0.850", "0.050"]),
        ("superres", SUPERRESOLVED, ["bicubic", "5.00e-04", "33.25", "dB", "0.650"]),
        ("find", FOUND, ["completeness", "0.500", "0.500"]),
        ("regress", REGRESSED, ["theta_E", "0.01", "0.02", "0.03", "0.9", "0.7", "0.96"]),
    ],
)
def test_a_result_is_printed_as_its_task_shows_it(task, metrics, line, capsys):
    print_result("Title", metrics, task_report(task))
    lines = [each.replace("│", " ").split() for each in capsys.readouterr().out.splitlines()]
    assert line in lines


def test_notes_follow_the_table(capsys):
    print_result("Title", FOUND, task_report("find"))
    assert "6 non-lenses are too few" in capsys.readouterr().out


def test_runs_are_printed_above_their_baseline(capsys):
    runs = {"pretrained": CLASSIFIED, "from scratch": CLASSIFIED | {"accuracy": 0.5}}
    print_runs("Title", runs, task_report("classify"))
    lines = [line.split("│")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == ["pretrained", "from scratch", "radial features"]
    assert lines[0] == "Title, 8 test images"


def test_a_run_is_printed_with_its_pictures(tmp_path, capsys):
    folder = finetuned(tmp_path / "run", "classify", CLASSIFIED)
    print_run(folder, task_report("classify"))
    printed = capsys.readouterr().out
    assert f"picture: {folder / 'loss.png'}" in printed
    assert "8 test images of" in printed


def test_signs_of_a_collapse_are_printed(tmp_path, capsys):
    watched = {"linear_probe": 0.5, "collapsed": 1, "signs_of_collapse": ["rank 1.2"]}
    (tmp_path / "encoder.json").write_text(json.dumps({"monitor": watched}))
    print_monitor(tmp_path)
    printed = capsys.readouterr().err
    assert "held-out images: linear probe 0.500\n" in printed
    assert "collapsed: rank 1.2" in printed


@pytest.mark.parametrize(
    "content", ["{}", "[]", "{", '{"monitor": 5}', '{"monitor": {"rank": []}}']
)
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(InputError, match=r"encoder\.json is damaged"):
        print_monitor(tmp_path)


def test_metrics_of_another_kind_are_named(tmp_path):
    folder = finetuned(tmp_path / "run", "find", FOUND | {"non_lenses": "many"})
    with pytest.raises(InputError, match=r"metrics\.json is damaged"):
        print_run(folder, task_report("find"))


def test_names_of_classes_are_printed_as_they_are(tmp_path, capsys):
    by_class = {"[bold]x[/]": 0.5, "\x1b]0;y\x07": 0.5}
    metrics = CLASSIFIED | {"auc": by_class, "radial_auc": by_class}
    print_result("[red]title", metrics, task_report("classify"))
    printed = capsys.readouterr().out
    assert "[red]title" in printed
    assert "[bold]x[/]" in printed
    assert r"\x1b]0;y\x07" in printed


def test_the_verdicts_of_an_audit_are_printed(capsys):
    print_audit(
        {
            "images": 90,
            "labels_per_class": 20,
            "radial_auc": {"cdm": 0.7, "axion": 0.5},
            "radial_auc_95": {"cdm": (0.6, 0.8), "axion": (0.4, 0.6)},
            "radial_auc_max": 0.6,
            "radial_auc_non_lens": None,
            "twin_accuracy": None,
        }
    )
    printed = capsys.readouterr().out
    assert "90 images, 20 labels a class" in printed
    (cdm,) = [line for line in printed.splitlines() if "cdm" in line]
    assert "failed" in cdm
    assert printed.count("passed") == 1
