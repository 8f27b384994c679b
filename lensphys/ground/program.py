"""The name of the program, for messages that say which command to run."""

from __future__ import annotations

import sys
from pathlib import Path

#: The console script that an installation makes.
_SCRIPT = "lensphys"


def program() -> str:
    """Return ``lensphys`` or ``python cli.py``, whichever started this process."""
    return _SCRIPT if Path(sys.argv[0]).stem == _SCRIPT else "python cli.py"
