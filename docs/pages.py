"""The part of the site that is made of the code: profiles, rooms, commands, tables and examples.

A Sphinx extension. Before pages are read it writes `generated/`; while docstrings are read it turns
the `Args` of everything with declared parameters into a table of units, defaults and valid ranges.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import profiles
import torch
from pictures import draw_light, draw_mass
from pydantic import BaseModel
from rooms import room_pages
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from tables import table_files

import lensphys
from lensphys.instruments import INSTRUMENTS
from lensphys.mass.base import MassProfile
from lensphys.parameters import Profile

DRAW = {"mass": draw_mass, "light": draw_light}
#: One thread a process: the examples run at once, beside the drawing.
_THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
#: Text on variables, by name, while napoleon is at work.
_AS_WRITTEN: dict[str, list[str]] = {}
torch.set_num_threads(1)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect this extension to Sphinx."""
    app.connect("builder-inited", generate)
    # Before napoleon, which knows of no units.
    app.connect("autodoc-process-docstring", tabulate_parameters, priority=400)
    app.connect("autodoc-process-docstring", list_attributes, priority=400)
    app.connect("autodoc-process-docstring", keep_as_written, priority=400)
    app.connect("autodoc-process-docstring", restore_as_written, priority=600)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("autodoc-skip-member", skip_inherited)
    return {"version": "1", "parallel_read_safe": True}


def generate(app: Sphinx) -> None:
    """Write `generated/`: profiles with figures, rooms, tables, output of the examples."""
    source = Path(app.srcdir)
    folder = source / "generated"
    running = {}
    for script in sorted((source / "tutorials").glob("*.py")):
        output = folder / "examples" / f"{script.stem}.txt"
        if not (_is_fresh(output, script) and _is_fresh(output.with_suffix(".png"), script)):
            running[output] = _start(script, output.parent)
    drawing = [source / name for name in ("pages.py", "pictures.py", "profiles.py")]
    for kind in DRAW:
        try:
            found = profiles.profiles(kind)
        except LookupError as error:
            raise ExtensionError(str(error)) from error
        for name, (profile, example) in found.items():
            figure = folder / kind / f"{name}.png"
            if not _is_fresh(figure, *drawing):
                DRAW[kind](profiles.run(example, kind), example.width, figure)
            _write(folder / kind / f"{name}.md", profile_page(kind, name, profile, example))
        _write(folder / kind / "index.md", kind_page(kind, found))
    made = {"tables/instruments.md": instrument_table()} | table_files() | room_pages()
    for name, text in made.items():
        _write(folder / name, text)
    for output, process in running.items():
        text, errors = process.communicate()
        if process.returncode:
            raise ExtensionError(f"{output.stem}.py failed:\n{errors}")
        output.write_text(text, encoding="utf-8")


def profile_page(kind: str, name: str, profile: type, example: profiles.Example) -> str:
    """The page of one profile, Markdown."""
    summary = _first_sentence(profile)
    scope = "x, y = lp.pixel_grid(100, 0.04, dtype=torch.float64)"
    use = {
        "mass": "psi = mass.potential(x, y)\n"
        "alpha_x, alpha_y = mass.deflection(x, y)\n"
        "psi_xx, psi_xy, psi_yy = mass.hessian(x, y)",
        "light": "brightness = light.surface_brightness(x, y)",
    }[kind]
    methods = ("potential", "deflection", "hessian") if kind == "mass" else ("surface_brightness",)
    if issubclass(profile, MassProfile) and not inspect.isabstract(profile):
        methods = (*methods, "deflection_jacobian")
    elif kind == "light":
        methods = (*methods, "surface_brightness_jacobian")
    listed = "\n".join(f".. automethod:: lensphys.{name}.{method}" for method in methods)
    figure = {
        "mass": "Convergence, deflection, potential and magnification",
        "light": "Surface brightness on the sky and along two axes",
    }[kind]
    code = f"import torch\n\nimport lensphys as lp\n\n{example.code}\n{scope}\n{use}"
    return f"""\
# {name}

```{{eval-rst}}
.. autoclass:: lensphys.{name}
```

## Example

{example.caption}

```python
{code}
```

![{figure} of the example: {summary}]({name}.png)

## Methods

```{{eval-rst}}
{listed}
```
"""


def kind_page(kind: str, found: dict[str, tuple[type, profiles.Example]]) -> str:
    """The page that lists the profiles of a kind."""
    title, text, base = {
        "mass": (
            "Mass profiles",
            "Every deflector has a `potential`, a `deflection` and a `hessian`; put one or more of "
            "them into a [lens](../../reference/lenses.md).",
            "MassProfile",
        ),
        "light": (
            "Light profiles",
            "Every light profile has a `surface_brightness`; put it behind a lens, or into its "
            "plane, and [render](../../reference/rendering.md) it.",
            "LightProfile",
        ),
    }[kind]
    rows = "\n".join(
        f"| [{name}]({name}.md) | {_first_sentence(profile)} |"
        for name, (profile, _) in found.items()
    )
    hidden = "\n".join(found)
    return f"""\
# {title}

{text}

| profile | |
|---|---|
{rows}

## The interface

```{{eval-rst}}
.. autoclass:: lensphys.{base}
   :members:
```

```{{toctree}}
:hidden:

{hidden}
```
"""


def instrument_table() -> str:
    """Every preset: a table of numbers, then source and version of each."""
    head = "| preset | pixel | PSF FWHM | exposure | zero point | sky | read noise | background |"
    units = "| | arcsec | arcsec | s | AB mag | mag/arcsec² | e⁻ | e⁻/s/pixel |"
    rows, sources = [], []
    for name, preset in INSTRUMENTS.items():
        band = preset.band
        cells = (
            [
                f"{band.num_exposures} × {band.exposure_time:g}",
                f"{band.magnitude_zero_point:.2f}",
                f"{band.sky_brightness:.2f}",
                f"{band.read_noise:g}",
            ]
            if band
            else ["–"] * 4
        )
        numbers = [f"{preset.pixel_scale:g}", f"{preset.psf_fwhm:g}", *cells]
        rows.append(f"| `{name}` | {' | '.join(numbers)} | {preset.background_sigma:.4f} |")
        sources.append(f"- `{name}` (*{preset.version}*): {preset.source}")
    lines = [head, "|---" + "|--:" * 7 + "|", units, *rows]
    return "\n".join(lines) + "\n\n### Sources\n\n" + "\n".join(sources) + "\n"


def tabulate_parameters(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Replace the `Args` in the docstring of a class with declared parameters by a table."""
    if what != "class" or not dataclasses.is_dataclass(obj) or not issubclass(obj, Profile):
        return
    start, end = section(lines, "Args:")
    if start == end:
        return
    meanings = meanings_of(lines[start + 1 : end])
    fields = [field for field in dataclasses.fields(obj) if field.init]
    unknown = {field.name for field in fields} ^ set(meanings)
    if unknown:
        raise ExtensionError(f"the Args of {name} and its fields differ in {sorted(unknown)}")
    table = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 18 42 14 14 12",
        "",
    ]
    # Parameters that differ in nothing but the name, such as those of a centre, share a row.
    together: dict[tuple[str, ...], list[str]] = {}
    for field in fields:
        meta = field.metadata
        if "unit" in meta:
            kind = meta["unit"] or "1", valid_range(meta["low"], meta["high"], meta["open_low"])
        else:
            kind = "setting", f"``{field.type}``"
        default = "" if field.default is dataclasses.MISSING else f"``{field.default!r}``"
        row = (meanings[field.name], *kind, default)
        together.setdefault(row, []).append(f"``{field.name}``")
    rows = [["parameter", "", "unit", "valid", "default"]]
    rows += [[", ".join(names), *row] for row, names in together.items()]
    for row in rows:
        marks = ["   * - ", *["     - "] * (len(row) - 1)]
        table += [mark + cell for mark, cell in zip(marks, row, strict=True)]
    if obj.ellipticity:
        e1, e2 = obj.ellipticity
        table += ["", f"Together, ``{e1}^2 + {e2}^2`` is 0.9999 at most."]
    lines[start:end] = [*table, ""]


def list_attributes(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep attributes that are described together, such as `x, y`, together."""
    start, end = section(lines, "Attributes:")
    if what != "class" or start == end:
        return
    together: dict[str, list[str]] = {}
    for attribute, meaning in meanings_of(lines[start + 1 : end]).items():
        together.setdefault(meaning, []).append(f"``{attribute}``")
    listed = [f"- {', '.join(names)}: {meaning}" for meaning, names in together.items()]
    lines[start:end] = [".. rubric:: Attributes", "", *listed, ""]


def keep_as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Keep the text on a variable from napoleon, which takes what precedes a colon for a type."""
    if what in ("attribute", "data", "property"):
        _AS_WRITTEN[name] = list(lines)


def restore_as_written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Restore the text on a variable after napoleon."""
    if name in _AS_WRITTEN:
        lines[:] = _AS_WRITTEN.pop(name)


def shorten_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """Return the constructor of a profile without types, and of a configuration without keys."""
    if what == "class" and isinstance(obj, type) and issubclass(obj, BaseModel):
        return "", returns
    if what != "class" or not dataclasses.is_dataclass(obj) or not issubclass(obj, Profile):
        return None
    shown = [
        f.name if f.default is dataclasses.MISSING else f"{f.name}={f.default!r}"
        for f in dataclasses.fields(obj)
        if f.init
    ]
    return (f"(*, {', '.join(shown)})" if shown else "()"), returns


def skip_inherited(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out hooks of other libraries, such as Lightning, whose docstrings are theirs."""
    ours = str(getattr(obj, "__module__", "")).startswith(("learn", "simulate"))
    return True if ours and not getattr(obj, "__doc__", None) else None


def section(lines: list[str], title: str) -> tuple[int, int]:
    """Return the first and last line of a section of a Google-style docstring; absent: 0, 0."""
    if title not in lines:
        return 0, 0
    start = end = lines.index(title)
    while end == start or (end < len(lines) and (not lines[end] or lines[end].startswith(" "))):
        end += 1
    return start, end


def meanings_of(lines: list[str]) -> dict[str, str]:
    """The entries of a Google-style `Args` section, by name; `a, b: text` is one of each."""
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if match := re.match(r"(\w+(?:, \w+)*): (.*)", line):
            names = match[1].split(", ")
            entries |= dict.fromkeys(names, match[2])
        elif line.strip():
            entries |= {name: f"{entries[name]} {line.strip()}" for name in names}
    return entries


def valid_range(low: float, high: float, open_low: bool) -> str:
    """Return a range as a reader sees it: `≥ 0`, `> 0`, `-1 … 1`, `any`."""
    if low == -math.inf and high == math.inf:
        return "any"
    if high == math.inf:
        return f"{'>' if open_low else '≥'} {low:g}"
    if low == -math.inf:
        return f"≤ {high:g}"
    return f"{low:g} … {high:g}" + (f", not {low:g}" if open_low else "")


def _first_sentence(profile: type) -> str:
    doc = inspect.getdoc(profile) or ""
    return doc.split("\n\n")[0].replace("\n", " ").replace("``", "`").rstrip(".")


def _is_fresh(made: Path, *sources: Path) -> bool:
    """Return true if a file is newer than its sources, to which lensphys always belongs."""
    package = Path(lensphys.__file__).parent.rglob("*.py")
    newest = max(path.stat().st_mtime for path in (*sources, *package))
    return made.exists() and made.stat().st_mtime > newest


def _start(script: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a worked example, whose figures go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    # lensphys is found where it was found here, also where it is not installed.
    path = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, str(script)],
        cwd=folder,
        env=os.environ | _THREADS | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _write(path: Path, text: str) -> None:
    # A page that has not changed need not be read again.
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
