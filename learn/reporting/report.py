"""The page on a run, a comparison, or a folder of them, in one file that can be sent around."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from learn.compare.showing.sections import comparison_sections, is_comparison
from learn.reporting.html_page import Section, is_page, render_page
from learn.reporting.pictures import check_sum
from learn.reporting.run_folder import Run, is_run, read_run, reading
from learn.reporting.run_section import headline, run_facts, run_section
from learn.reporting.table import Entry, Table
from learn.reporting.task_report import count_tested
from learn.run_files import METRICS
from lensphys.ground.errors import InputError
from lensphys.ground.files import check_output
from lensphys.ground.locks import replacing_alone
from lensphys.ground.program import program

REPORT = "report.html"


def report(folder: Path, out: Path | None = None, *, overwrite: bool = False) -> Path:
    """Write a page on what is in a folder.

    Args:
        folder: of a run, of a comparison, or above several of either.
        out: the file; default ``report.html`` in the folder.
        overwrite: replace a file that is no page of this program.

    Returns:
        The file.

    Raises:
        InputError: if there is nothing to report, something is damaged, or the file cannot be
            written.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    path = out or folder / REPORT
    target = check_output(path, "page of a report", is_page, overwrite=overwrite)
    content = _page(folder)
    try:
        with replacing_alone(target) as temporary:
            # Paths may hold bytes that are no text.
            temporary.write_bytes(content.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror}; choose another place with --out"
        ) from None
    return path


def _page(folder: Path) -> str:
    if is_comparison(folder):
        title = f"Comparison: {folder.resolve().name}"
        lead = "Pretraining methods beside their baselines."
        parts = enumerate(comparison_sections(folder))
        sections = [dataclasses.replace(part, anchor=f"part-{number}") for number, part in parts]
        return render_page(title, lead, sections)
    run = read_run(folder)
    if run:
        title = f"{run.kind[0].upper()}{run.kind[1:]}"
        if run.data:
            title += f" on {run.data}"
        section = dataclasses.replace(run_section(run), title="")
        return render_page(title, f"Results of the run in {folder}.", [section])
    return _page_of_several(folder)


def _page_of_several(folder: Path) -> str:
    runs, comparisons = [], []
    for below in _within(folder):
        if is_comparison(below):
            comparisons.append(below)
        elif run := read_run(below):
            runs.append(run)
    if not runs and not comparisons:
        raise InputError(
            f"{folder} holds no run and no comparison to report; make one with `{program()} "
            "finetune`, `pretrain` or `compare`"
        )
    named = {f"run-{number}": run for number, run in enumerate(runs, 1)}
    sections = [Section("", tables=_overview(named, folder))] if runs else []
    for number, below in enumerate(comparisons):
        prefix = f"Comparison {below.relative_to(folder)}"
        for section in comparison_sections(below):
            title = f"{prefix}: {section.title}" if section.title else prefix
            folded = section.folded or number > 0  # the first comparison is open, the others not
            anchor = f"part-{len(sections)}"
            part = dataclasses.replace(section, title=title, folded=folded, anchor=anchor)
            sections.append(part)
            check_sum(_bytes_of_pictures(sections), folder)
    for anchor, run in named.items():
        title = f"{run.folder.relative_to(folder)}: {run.kind}"
        section = run_section(run)
        sections.append(dataclasses.replace(section, title=title, folded=True, anchor=anchor))
        check_sum(_bytes_of_pictures(sections), folder)
    counts = [(len(runs), "run"), (len(comparisons), "comparison")]
    lead = " and ".join(f"{n} {what}{'s' * (n > 1)}" for n, what in counts if n)
    return render_page(f"Results in {folder}", f"{lead}.", sections)


def _bytes_of_pictures(sections: Sequence[Section]) -> int:
    return sum(len(picture.source) for section in sections for picture in section.pictures)


def _within(folder: Path) -> Iterator[Path]:
    """The runs and comparisons below a folder, by name, without folders inside of them."""
    stack = [folder]  # folders can lie deeper in one another than Python calls functions
    while stack:
        place = stack.pop()
        if place != folder and (is_comparison(place) or is_run(place)):
            yield place
            continue
        below = (path for path in place.iterdir() if not path.name.startswith("."))
        stack += sorted((p for p in below if p.is_dir() and not p.is_symlink()), reverse=True)


def _overview(runs: dict[str, Run], folder: Path) -> list[Table]:
    """A table a task, and one of pretraining: the runs by what tells them apart."""
    kinds: dict[str, dict[str, Run]] = {}
    for anchor, run in runs.items():
        kinds.setdefault(run.kind, {})[anchor] = run
    return [_overview_of(kind, alike, folder) for kind, alike in kinds.items()]


def _overview_of(kind: str, runs: dict[str, Run], folder: Path) -> Table:
    lines = []
    for anchor, run in runs.items():
        facts = run_facts(run)
        first = Entry(str(run.folder.relative_to(folder)), None, anchor)
        lines.append(
            {"run": first}
            | {
                name.lower(): _of_text(facts[name])
                for name in ("Data", "Encoder", "Labels a class", "Epochs", "Seed")
                if name in facts
            }
            | _tested(run)
            | headline(run)
        )
    head = dict.fromkeys(name for line in lines for name in line)
    rows = [[line.get(name, Entry("–")) for name in head] for line in lines]
    return Table(f"Runs of {kind}", tuple(head), rows)


def _tested(run: Run) -> dict[str, Entry]:
    with reading(run.folder / METRICS):
        count = count_tested(run.metrics or {})
    return {} if count is None else {"test images": Entry(f"{count:,}", count)}


def _of_text(text: str) -> Entry:
    if text == "all":  # labels
        return Entry(text, math.inf)
    return Entry(text, float(text) if text.isdecimal() else None)
