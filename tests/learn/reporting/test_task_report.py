"""A task describes its tables, its headline and its captions, or keeps the defaults."""

import dataclasses

import pytest

from learn.reporting.task_report import (
    Baseline,
    TaskReport,
    count_tested,
    describe_tested,
    flat,
)
from learn.tasks import TASKS, task_class, task_report

METRICS = {"hits": 0.5, "part": {"a": 0.25}, "easy_hits": 0.125, "count": 3, "matrix": [[1]]}
REPORT = TaskReport(
    baseline=Baseline("easy", "the easy way"),
    headline={"hits": "HITS"},
    labels={"part": "share of"},
    formats={"hits": "{:.1f} %"},
)


def texts(rows):
    return [[entry.text for entry in row] for row in rows]


def test_numbers_of_classes_are_called_by_measure_and_class():
    assert flat(METRICS) == {"hits": 0.5, "part.a": 0.25, "easy_hits": 0.125}


def test_a_table_has_a_row_a_measure_beside_the_baseline():
    table = REPORT.table("Test", METRICS)
    assert table.head == ("measure", "this run", "the easy way")
    assert texts(table.rows) == [["hits", "0.5 %", "0.1 %"], ["share of a", "0.250", "–"]]


def test_runs_of_a_task_stand_above_their_baseline():
    table = REPORT.runs_table("Test", {"one": METRICS, "two": {"hits": 0.75}})
    assert table.head == ("", "hits")
    assert texts(table.rows) == [["one", "0.5 %"], ["two", "0.8 %"], ["the easy way", "0.1 %"]]


def test_the_headline_has_its_own_words_and_the_baseline_after_it():
    entries = REPORT.headline_entries(METRICS)
    assert {name: entry.value for name, entry in entries.items()} == {
        "HITS": 0.5,
        "easy HITS": 0.125,
    }
    assert REPORT.compared_measures(METRICS) == {"hits": "HITS"}


def test_baselines_on_lens_fits_stand_where_they_were_measured():
    report = dataclasses.replace(REPORT, fit_baselines=(Baseline("fit", "the fits"),))
    alone = report.table("Test", METRICS)
    assert alone.head == ("measure", "this run", "the easy way")
    metrics = METRICS | {"fit_hits": 0.25}
    assert texts(report.table("Test", metrics).rows)[0] == ["hits", "0.5 %", "0.1 %", "0.2 %"]
    assert list(report.headline_entries(metrics)) == ["HITS", "easy HITS", "fit HITS"]
    runs = report.runs_table("Test", {"one": METRICS, "two": metrics})
    assert texts(runs.rows)[2:] == [["the easy way", "0.1 %"], ["the fits", "0.2 %"]]


def test_a_note_states_the_number_of_test_images_and_the_intervals():
    metrics = METRICS | {"test_images": 40, "intervals": {"hits": [0.25, 0.75]}}
    assert REPORT.notes(metrics) == ["40 test images; 95% intervals: hits 0.2 % to 0.8 %"]
    assert REPORT.notes(METRICS | {"test_images": 40}) == ["40 test images"]
    assert REPORT.table("Test", metrics) == REPORT.table("Test", METRICS)
    assert REPORT.headline_numbers(metrics) == {"hits": 0.5}


def test_a_note_states_how_many_images_are_flagged_and_what_the_others_measure():
    flagged = {"share": 0.02, "low": 0.01, "high": 0.04, "poor_fit": 0.01, "unlike_training": 0.01}
    metrics = METRICS | {"flagged": flagged, "unflagged": {"hits": 0.75}}
    assert REPORT.notes(metrics) == [
        "2.0% of the images are flagged (1.0% to 4.0% with 95% confidence); "
        "hits of the others 0.8 %"
    ]
    assert REPORT.table("Test", metrics) == REPORT.table("Test", METRICS)
    assert REPORT.runs_table("Test", {"a": metrics}) == REPORT.runs_table("Test", {"a": METRICS})
    assert REPORT.headline_numbers(metrics) == {"hits": 0.5}
    (note,) = REPORT.notes(METRICS | {"flagged": flagged})
    assert "others" not in note


def test_a_task_that_describes_nothing_shows_all_its_numbers():
    report = TaskReport()
    assert texts(report.table("Test", METRICS).rows) == [
        ["hits", "0.500"],
        ["part a", "0.250"],
        ["easy hits", "0.125"],
    ]
    assert list(report.headline_entries(METRICS)) == ["hits", "easy hits"]
    assert report.terminal_table("Test", METRICS).head == ("", "hits", "part a", "easy hits")
    assert report.notes(METRICS) == []


@pytest.mark.parametrize("metrics", [{}, {"easy_hits": 0.5}, {"part": {"a": 0.5}}])
def test_metrics_without_a_headline_measure_are_not_of_the_task(metrics):
    with pytest.raises(LookupError):
        REPORT.table("Test", metrics)


@pytest.mark.parametrize("name", TASKS)
def test_the_report_that_is_read_without_torch_is_that_of_the_class(name):
    assert task_report(name) is task_class(name).report


@pytest.mark.parametrize(
    ("metrics", "count"),
    [
        ({"test_images": 1500}, 1500),
        ({"confusion": [[3, 1], [0, 4]]}, 8),
        ({"lenses": 5, "non_lenses": 4}, 9),
        ({}, None),
    ],
)
def test_test_images_are_counted_in_the_metrics_of_earlier_versions_too(metrics, count):
    assert count_tested(metrics) == count
    assert describe_tested(metrics) == (f"{count:,} test images" if count else "Test images")


def test_a_measure_stands_in_words_beside_its_baselines():
    assert REPORT.beside("hits", METRICS) == "network 0.5 %, the easy way 0.1 %"
    assert REPORT.alt_texts(METRICS) == {}
