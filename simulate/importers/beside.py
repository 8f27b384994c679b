"""Bad-pixel masks in files beside an image: ``lens_dq.fits`` beside ``lens.fits``."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

_ENDING = re.compile(r"\.(fits?|fts)(\.\w+)?$", re.IGNORECASE)
#: Ends of names that mean no more than that there is an image.
_IMAGE = re.compile(r"[._-](image|img|data|sci|science|drz|drc|flt|flc|cutout)$", re.IGNORECASE)
_FLAGS = re.compile(
    r"(.+)[._-](?:dq|mask|msk|bpm|flags?|badpix)\.(?:fits?|fts)(?:\.\w+)?", re.IGNORECASE
)


def find_flags(path: Path) -> Path | None:
    """The file beside an image that bears its name and that of a mask; None where there is none."""
    match = _ENDING.search(path.name)
    if match is None:
        return None
    flags = _flag_files(path.parent, path.parent.stat().st_mtime_ns)
    if not flags:
        return None
    stem = path.name[: match.start()].lower()
    for base in dict.fromkeys((stem, _IMAGE.sub("", stem))):
        name = flags.get(base)
        if name is not None and name != path.name:
            return path.with_name(name)
    return None


@functools.lru_cache(maxsize=8)
def _flag_files(folder: Path, changed: int) -> Mapping[str, str]:
    """Files of masks in a folder, by the name of their image; the time changes with the folder."""
    matches = [(_FLAGS.fullmatch(child.name), child) for child in folder.iterdir()]
    return {match[1].lower(): child.name for match, child in matches if match and child.is_file()}
