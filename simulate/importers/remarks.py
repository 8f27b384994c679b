"""Remarks on an import: what is not imported, and what became of broken files and of masks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from simulate.importers.config import ImportConfig
from simulate.importers.errors import BrokenFileError, escape
from simulate.importers.framing import advise_patches
from simulate.importers.layouts import LENSES, Source
from simulate.importers.survey import Form
from simulate.shards import MANIFEST

#: Remarks of one kind that are made one by one, and names in one of them.
_NAMED, _SHOWN = 10, 3


def list_left_out(source: Source, config: ImportConfig, form: Form, out: Path) -> Iterator[str]:
    """One line for each kind of thing that is not imported, or not as it may be meant.

    Args:
        source: the images.
        config: options of the import.
        form: of the images.
        out: folder of the data set.
    """
    named = "--label-names does not name it"
    why = named if config.label_names else f"it is not part of the layout {source.layout}"
    for name, count in source.left_out.items():
        yield f"left out {escape(name)}/ ({count} {'image' if count == 1 else 'images'}): {why}"
    for role, names in sort_by_role(source).items():
        shown = ", ".join(map(escape, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
        if len(names) == 1:
            yield f"left out {shown}: a {role} by its name, no image of the sky"
        else:
            yield f"left out {len(names)} {role}s by their names, no images of the sky: {shown}"
    if source.layout == LENSES:
        yield "each folder is one lens; --label-names a,b imports folders as classes"
    for note, count in itertools.islice(form.notes.items(), _NAMED):
        yield f"{count} {'image' if count == 1 else 'images'} {note}"
    yield from form.framing.remarks
    if advice := advise_patches(form.size, out, form.factor):
        yield advice


def sort_by_role(source: Source) -> dict[str, list[str]]:
    """Files that are no images of the sky by their names, for each role."""
    names: dict[str, list[str]] = {}
    for name, role in source.others.items():
        names.setdefault(role, []).append(name)
    return names


class Remarks:
    """Broken files, the first ones by name and the others as a count; and notes on masks."""

    def __init__(self, tell: Callable[[str], None], files: int) -> None:
        self._tell, self._files = tell, files
        self._count = 0
        self._notes: Counter[str] = Counter()

    def skip(self, name: str, error: BrokenFileError) -> None:
        """Remark that a file is left out."""
        self._count += 1
        if self._count <= _NAMED:
            self._tell(f"skipped {escape(name)}: {error}")

    def note(self, words: str) -> None:
        """Remark what became of the mask of an image."""
        self._notes[words] += 1

    def close(self) -> None:
        """Give the counts."""
        if self._count > _NAMED:
            self._tell(
                f"skipped {self._count - _NAMED} more files; {MANIFEST} names all {self._count}"
            )
        if self._count > 1:
            self._tell(f"{self._count} of {self._files} files skipped")
        for words, count in self._notes.most_common(_NAMED):
            self._tell(f"{count} {'image' if count == 1 else 'images'} {words}")
