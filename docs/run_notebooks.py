"""Runs the notebooks in full and stores their outputs: ``python docs/run_notebooks.py [NAME ...]``.

Each runs in an empty folder, as one that a user has downloaded. What depends on the machine or the
moment is not stored, so that a new run changes only what has changed: versions, times, progress
bars. The pictures have few colours and are small.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from lensphys.ground.files import write_text

FOLDER = Path(__file__).parent / "notebooks"
#: Tag of the cell whose values a test replaces; papermill and others call it so too.
PARAMETERS = "parameters"
#: Seconds that one cell may take.
_PATIENCE = 1800
#: Colours of a picture, as many as a palette holds; with all of them it has three times the bytes.
_COLOURS = 256
_WARNING = re.compile(r"\w*Warning\b|^Traceback", re.MULTILINE)


def execute(notebook: NotebookNode, folder: Path, environment: Mapping[str, str] = {}) -> None:
    """Run all cells in place, in a folder; the kernel is the Python of this process.

    Raises:
        nbclient.exceptions.CellExecutionError: for a cell that fails.
        ValueError: for a cell that warns.
    """
    client = NotebookClient(
        notebook, timeout=_PATIENCE, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    own = {
        "IPYTHONDIR": str(folder / ".ipython"),  # not the settings of whoever runs this
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the kernel has a line on breakpoints
        "PYTHONWARNINGS": "ignore:IProgress not found",  # bars of tqdm, of which none are used
    }
    client.execute(env={**os.environ, **own, **environment})
    for output in outputs(notebook):
        if output.output_type == "stream" and (found := _WARNING.search(output.text)):
            raise ValueError(f"a cell warns ({found.group()}):\n{output.text}")


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    """All outputs, in order."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def normalise(notebook: NotebookNode) -> None:
    """Leave what a reader sees: no times, versions, or progress bars; pictures of few colours."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if cell.cell_type != "code":
            continue
        # Progress goes to standard error, and differs every time.
        cell.outputs = _merge([o for o in cell.outputs if o.get("name") != "stderr"])
        for output in cell.outputs:
            output.pop("metadata", None)
            if output.output_type in ("display_data", "execute_result"):
                output.metadata = {}
                _shrink(output.data)


def _merge(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what is printed in one go: where it is cut depends on the moment."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if merged and output.output_type == merged[-1].output_type == "stream":
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def _shrink(data: NotebookNode) -> None:
    """Store the picture of an output with few colours, and without the version of its maker."""
    if "image/png" not in data:
        return
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    file = io.BytesIO()
    few = picture.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, 2, dither=Image.Dither.NONE)
    few.save(file, "PNG", optimize=True)
    data["image/png"] = base64.b64encode(file.getvalue()).decode()


def main(arguments: list[str] | None = None) -> None:
    """Run notebooks by name, all without any, and write each where it was."""
    known = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    wanted = parser.parse_args(arguments).names
    if unknown := set(wanted) - known.keys():
        parser.error(f"no notebook {min(unknown)}; there are {', '.join(known)}")
    for name in wanted or known:
        print(f"{name} ...", flush=True)
        notebook = nbformat.read(known[name], as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, Path(folder))
        normalise(notebook)
        write_text(known[name], nbformat.writes(notebook) + "\n")
        print(f"wrote {known[name]} ({known[name].stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
