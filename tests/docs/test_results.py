"""The tables of the results pages hold numbers of the comparison, and no others."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "results" / "small" / "table.md").read_text(encoding="utf-8")
MEASURED = re.compile(r"\d\.\d{3} ± \d\.\d{3}")


@pytest.mark.parametrize("page", ["classification", "ablations"])
def test_every_interval_in_a_table_is_one_of_the_comparison(page):
    text = (ROOT / "docs" / "results" / f"{page}.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    found = {number for row in rows for number in MEASURED.findall(row)}
    assert len(found) > 30
    assert found <= set(MEASURED.findall(TABLE))


def test_the_headline_results_are_those_of_their_pages():
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs/results").glob("*.md")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    headline = readme[readme.index("## Results") : readme.index("## Speed")]
    assert headline.count("\n|") - 2 <= 6
    for number in {*MEASURED.findall(headline), *re.findall(r'0\.\d+"', headline)}:
        assert any(number in page for page in pages), number


def test_the_table_of_speed_is_that_of_the_benchmarks():
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    speed = readme[readme.index("## Speed") : readme.index("## More")]
    rows = [line for line in speed.splitlines() if line.startswith("|")][2:]
    assert rows
    for row in rows:
        for number in re.findall(r"\d+(?:\.\d+)?", row.partition("|")[2].partition("|")[2]):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", benchmarks), row
