"""The commit of the code, which every cell names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import lensphys

#: Results may lie in the same repository, and change as they come.
_CODE = ("lensphys", "simulate", "learn", "configs", "cli.py")


def read_commit() -> str:
    """The commit of the code, with ``-dirty`` where the code differs; else the version."""
    root = Path(__file__).parents[2]
    try:
        head, changed = (
            subprocess.run(
                ["git", *words], cwd=root, capture_output=True, text=True, check=True
            ).stdout.strip()
            for words in (
                ("rev-parse", "--short=12", "HEAD"),
                ("status", "--porcelain", "--untracked-files=no", "--", *_CODE),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return f"lensphys {lensphys.__version__}"
    return f"{head}-dirty" if changed else head
