"""The report of a task: its tables, its headline measures and its captions.

A task describes this itself, in the attribute ``report`` of its class. The description needs no
torch, so that a page on hundreds of results can be made without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from learn.reporting.table import Entry, Table

Metrics = Mapping[str, Any]
_NONE = Entry("–")
_FORMAT = "{:.3f}"
#: Keys of the metrics of images that are flagged as unlike the training, and of the others.
FLAGGED, UNFLAGGED = "flagged", "unflagged"
#: Keys of the number of test images, and of the 95% intervals of measures.
TEST_IMAGES, INTERVALS = "test_images", "intervals"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A trivial baseline beside which a task is measured.

    Attributes:
        prefix: its metrics are those of the task with this and an underscore before them.
        name: in words.
    """

    prefix: str
    name: str

    def of(self, measure: str) -> str:
        """The baseline's metric beside a measure."""
        return f"{self.prefix}_{measure}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskReport:
    """The form in which the results of a task are shown; the defaults serve for a first one.

    A measure is a key of ``metrics.json``. It holds a number, or numbers by class or column, which
    are then called ``auc.cdm``. A task whose table looks different overrides :meth:`table`, one
    that has to explain its numbers :meth:`notes`.

    Attributes:
        baseline: None without one.
        headline: the measures by which runs of the task compare, and their names in words; a result
            without any of them is damaged.
        compared: the measures that have a table in a comparison of methods, and its title; empty:
            the headline.
        labels: names of measures in words; others are called as they are, with blanks.
        formats: of numbers; others have three digits.
        fit_baselines: baselines on lens fits, which only networks that see lens fits have beside
            them.
        other_baselines: prefixes of the metrics of further baselines.
        page_only: measures that would make a table wider than a terminal.
        captions: of the figures that the task draws, by their file names without ``.png``.
    """

    baseline: Baseline | None = None
    headline: Mapping[str, str] = dataclasses.field(default_factory=dict)
    compared: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    formats: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fit_baselines: tuple[Baseline, ...] = ()
    other_baselines: tuple[str, ...] = ()
    page_only: tuple[str, ...] = ()
    captions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def alt_texts(self, metrics: Metrics) -> dict[str, str]:
        """Descriptions of the figures, with axes, lines and numbers, by file name without end."""
        return {}

    def beside(self, name: str, metrics: Metrics) -> str:
        """A measure of the network and of the baselines, in words."""
        numbers = flat(metrics)
        who = {"network": name} | {b.name: b.of(name) for b in self.baselines_of(numbers)}
        known = {words: numbers[key] for words, key in who.items() if key in numbers}
        return ", ".join(f"{words} {self.entry(name, v).text}" for words, v in known.items())

    @property
    def prefixes(self) -> list[str]:
        """Prefixes of the metrics of all baselines."""
        return [*(each.prefix for each in self._baselines), *self.other_baselines]

    def baselines_of(self, numbers: Iterable[str]) -> list[Baseline]:
        """The baselines that stand beside a result with numbers of these names."""
        measures = {*map(_measure, numbers)}
        fit = [b for b in self.fit_baselines if any(m.startswith(b.of("")) for m in measures)]
        return [*([self.baseline] if self.baseline else []), *fit]

    def table(self, title: str, metrics: Metrics) -> Table:
        """The result of one run: a row a measure, beside the baseline.

        Raises:
            LookupError, TypeError, ValueError: for metrics that are not of this task.
        """
        numbers = flat(metrics)
        if not self._measures(numbers) or (self.headline and not self._headline(numbers)):
            raise LookupError("no measure of this task")
        baselines, rows = self.baselines_of(numbers), []
        for name in self._measures(numbers):
            beside = [self.entry(name, numbers.get(each.of(name))) for each in baselines]
            rows.append([Entry(self.label(name)), self.entry(name, numbers[name]), *beside])
        return Table(title, ("measure", "this run", *(each.name for each in baselines)), rows)

    def notes(self, metrics: Metrics) -> list[str]:
        """Paragraphs below the table of one run: test images, intervals, flags."""
        notes = []
        if metrics.get(TEST_IMAGES):
            ends = {
                name: " to ".join(self.entry(name, end).text for end in interval)
                for name, interval in (metrics.get(INTERVALS) or {}).items()
            }
            shown = "; ".join(f"{self.label(name)} {text}" for name, text in ends.items())
            notes.append(describe_tested(metrics) + (f"; 95% intervals: {shown}" if shown else ""))
        flagged = metrics.get(FLAGGED)
        if flagged is None:
            return notes
        share, low, high = (f"{100 * flagged[key]:.1f}%" for key in ("share", "low", "high"))
        note = f"{share} of the images are flagged ({low} to {high} with 95% confidence)"
        others = metrics.get(UNFLAGGED) or {}
        if others:
            first = next(iter(others))
            note += f"; {self.label(first)} of the others {self.entry(first, others[first]).text}"
        return [*notes, note]

    def terminal_table(self, title: str, metrics: Metrics) -> Table:
        """The result of one run as it is printed."""
        return self.runs_table(title, {"this run": metrics})

    def runs_table(self, title: str, runs: Mapping[str, Metrics]) -> Table:
        """Several results: a row a run, and last the baselines of the first that has them."""
        rows = {name: flat(metrics) for name, metrics in runs.items()}
        first = next(iter(rows.values()))
        columns = [name for name in self._measures(first) if _measure(name) not in self.page_only]
        if self.baseline:
            columns = [name for name in columns if self.baseline.of(name) in first]
        for baseline in self.baselines_of({name for row in rows.values() for name in row}):
            beside = [row for row in rows.values() if any(baseline.of(c) in row for c in columns)]
            of_first = beside[0] if beside else {}
            names = {column: baseline.of(column) for column in columns}
            rows[baseline.name] = {c: of_first[n] for c, n in names.items() if n in of_first}
        entries = [
            [Entry(run), *(self.entry(name, row.get(name)) for name in columns)]
            for run, row in rows.items()
        ]
        return Table(title, ("", *map(self.label, columns)), entries)

    def headline_entries(self, metrics: Metrics) -> dict[str, Entry]:
        """The headline measures of a run by their names, each followed by its baselines."""
        numbers, entries = flat(metrics), {}
        for name in self._headline(numbers):
            words = self._words(name, self.headline)
            entries[words] = self.entry(name, numbers[name])
            for baseline in self.baselines_of(numbers):
                if (beside := baseline.of(name)) in numbers:
                    entries[f"{baseline.prefix} {words}"] = self.entry(name, numbers[beside])
        return entries

    def headline_numbers(self, metrics: Metrics) -> dict[str, float]:
        """The headline measures of a run, without those of its baseline."""
        numbers = flat(metrics)
        return {name: numbers[name] for name in self._headline(numbers)}

    def compared_measures(self, metrics: Metrics) -> dict[str, str]:
        """The measures that a comparison shows, and the titles of their tables."""
        if self.compared:
            return dict(self.compared)
        return {name: self._words(name, self.headline) for name in self._headline(flat(metrics))}

    def label(self, name: str) -> str:
        """A measure in words, that of one class or column as ``AUC no_sub``."""
        return self._words(name, self.labels)

    def entry(self, name: str, value: float | None) -> Entry:
        """A number with the digits of its measure."""
        if value is None:
            return _NONE
        return Entry(self.formats.get(_measure(name), _FORMAT).format(value), value)

    def _measures(self, numbers: Mapping[str, float]) -> list[str]:
        """The measures of the task itself, without those of its baseline."""
        own = [name for name in numbers if _measure(name) not in (FLAGGED, UNFLAGGED)]
        beside = tuple(each.of("") for each in self._baselines)
        return [name for name in own if not name.startswith(beside)]

    @property
    def _baselines(self) -> list[Baseline]:
        return [*([self.baseline] if self.baseline else []), *self.fit_baselines]

    def _headline(self, numbers: Mapping[str, float]) -> list[str]:
        """The headline measures that there are; without a list of them, all that are one number."""
        known = self.headline or [name for name in self._measures(numbers) if "." not in name]
        return [name for wanted in known for name in numbers if _measure(name) == wanted]

    @staticmethod
    def _words(name: str, words: Mapping[str, str]) -> str:
        measure, _, whose = name.partition(".")
        return f"{words.get(measure, measure.replace('_', ' '))} {whose}".rstrip()


def flat(metrics: Metrics) -> dict[str, float]:
    """Numbers by name; those of one class or column as ``auc.cdm``, ``radial_auc.cdm``."""
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        if name == INTERVALS:
            continue
        if isinstance(value, dict):
            numbers |= {f"{name}.{key}": number for key, number in value.items()}
        elif isinstance(value, float):
            numbers[name] = value
    return numbers


def count_tested(metrics: Metrics) -> int | None:
    """The number of test images; None where neither it nor anything that adds up to it is known."""
    if count := metrics.get(TEST_IMAGES):
        return int(count)
    if confusion := metrics.get("confusion"):
        return sum(map(sum, confusion))
    if {"lenses", "non_lenses"} <= metrics.keys():
        return int(metrics["lenses"]) + int(metrics["non_lenses"])
    return None


def describe_tested(metrics: Metrics) -> str:
    """The number of test images in words; ``Test images`` where it is not known."""
    count = count_tested(metrics)
    return "Test images" if count is None else f"{count:,} test images"


def _measure(name: str) -> str:
    return name.partition(".")[0]
