"""Citation, changelog and package agree."""

import re
from pathlib import Path

import yaml

import lensphys

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_citation_has_what_the_format_requires():
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["authors"] == [{"name": "the lensphys authors"}]
    assert CITATION["license"] == "BSD-3-Clause"


def test_the_citation_is_of_the_version_of_the_package():
    assert CITATION["version"] == lensphys.__version__


def test_the_changelog_has_the_version_and_only_the_sections_of_its_format():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(.+?)\](?: - (.+))?$", text, re.MULTILINE)
    assert versions[0] == ("Unreleased", "")
    assert versions[1] == (lensphys.__version__, str(CITATION["date-released"]))
    sections = set(re.findall(r"^### (.+)$", text, re.MULTILINE))
    assert sections <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
