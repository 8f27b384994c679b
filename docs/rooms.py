"""The reference of the code, by room: a page a folder, made of the docstrings.

A room is a folder of one of the three packages. Its page shows the docstring of the folder and
everything public in its files.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import lensphys

#: Folder of the three packages, also if the pages are built in a copy.
ROOT = Path(lensphys.__file__).parents[1]
PACKAGES = ("lensphys", "simulate", "learn")
#: Rooms of lensphys that have pages written by hand: profiles, lenses, optics, fitting and so on.
BY_HAND = {
    "lensphys",
    "lensphys.mass",
    "lensphys.light",
    "lensphys.psf",
    "lensphys.fitting",
    "lensphys.detection",
}


@dataclasses.dataclass(frozen=True)
class Room:
    """A folder of a package: its name with dots, its docstring and its files."""

    name: str
    doc: str
    modules: tuple[str, ...]

    @property
    def summary(self) -> str:
        """The first sentence of the docstring, in Markdown."""
        sentence = " ".join(self.doc.split("\n\n")[0].split()).rstrip(".")
        return re.sub(r":\w+:`~?", "`", sentence).replace("``", "`")


def rooms(package: str, root: Path = ROOT) -> list[Room]:
    """Return every room of a package, the package itself first."""
    found = []
    for init in sorted((root / package).rglob("__init__.py")):
        parts = init.parent.relative_to(root).parts
        modules = sorted(p.stem for p in init.parent.glob("*.py") if p.stem != "__init__")
        doc = docstring(init)
        found.append(Room(".".join(parts), doc, tuple(modules)))
    return found


def docstring(path: Path) -> str:
    """Return the docstring of a file without importing it."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def room_page(room: Room) -> str:
    """Return the page of a room, Markdown."""
    parts = [f"# {room.name}", eval_rst(f".. automodule:: {room.name}\n   :members:")]
    for module in room.modules:
        name = f"{room.name}.{module}"
        parts += [f"## {module}", eval_rst(f".. automodule:: {name}\n   :members:")]
    return "\n\n".join(parts) + "\n"


def package_page(package: str, found: list[Room]) -> str:
    """Return the page that lists the rooms of a package."""
    rows = "\n".join(f"| [{room.name}]({room.name}.md) | {room.summary} |" for room in found)
    hidden = "\n".join(room.name for room in found)
    return f"""\
# The rooms of {package}

[How the code fits together](../../explanation/how_the_code_fits_together.md) shows what travels
between them.

| room | |
|---|---|
{rows}

```{{toctree}}
:hidden:

{hidden}
```
"""


def room_pages(root: Path = ROOT) -> dict[str, str]:
    """Return every page of this part of the reference, by its path below ``generated/``."""
    pages = {}
    for package in PACKAGES:
        found = [room for room in rooms(package, root) if room.name not in BY_HAND]
        pages |= {f"{package}/{room.name}.md": room_page(room) for room in found}
        pages[f"{package}/index.md"] = package_page(package, found)
    return pages


def eval_rst(text: str) -> str:
    """Return a block of reStructuredText inside Markdown."""
    return f"```{{eval-rst}}\n{text}\n```"
