"""The container file names what there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_container_sets_up_and_runs_what_make_knows() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r'make[", ]+([a-z-]+)', text))
    assert {"setup", "demo"} <= made
    assert made - {"gcc"} <= targets
    python = re.search(r"FROM python:(\d+\.\d+)", text)
    assert python
    assert f'requires-python = ">={python[1]}"' in (ROOT / "pyproject.toml").read_text()
