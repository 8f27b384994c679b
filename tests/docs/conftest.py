"""A copy of the pages, built once: the tests leave the working copy as it is."""

import contextlib
import io
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Test processes run side by side; for maps this small more threads only get in the way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> Path:
    """A copy of `docs/`."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    shutil.copytree(
        ROOT / "docs", folder, ignore=shutil.ignore_patterns("_build", "generated", "__pycache__")
    )
    shutil.copy(ROOT / "CONTRIBUTING.md", folder.parent)  # which a page includes
    return folder


@pytest.fixture(scope="session")
def run_example(pages) -> Callable[[str], SimpleNamespace]:
    """Runs a worked example: its variables, and what it printed as `printed`; the figure is left
    where the site looks for it.
    """
    done: dict[str, SimpleNamespace] = {}

    def run(name: str) -> SimpleNamespace:
        if name in done:
            return done[name]
        folder = pages / "generated" / "examples"
        folder.mkdir(parents=True, exist_ok=True)
        dtype, output = torch.get_default_dtype(), io.StringIO()
        try:
            with contextlib.chdir(folder), contextlib.redirect_stdout(output):
                variables = runpy.run_path(str(pages / "tutorials" / f"{name}.py"))
        finally:
            torch.set_default_dtype(dtype)
            plt.close("all")
        (folder / f"{name}.txt").write_text(output.getvalue())
        done[name] = SimpleNamespace(**variables, printed=output.getvalue())
        return done[name]

    return run


@pytest.fixture(scope="session")
def site(pages, run_example) -> Path:
    """The site as `make docs` builds it; a warning is an error."""
    for script in (pages / "tutorials").glob("*.py"):
        run_example(script.stem)
    build_site(pages)
    return pages / "_build" / "html"


def build_site(pages: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    options = ["--fail-on-warning", "--keep-going", "--quiet"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(pages), str(pages / "_build" / "html")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-4000:]


@pytest.fixture(scope="session")
def shows_something() -> Callable[[Path], bool]:
    """Return a check that a picture is more than a frame: many colours, none of which fills it."""

    def check(path: Path) -> bool:
        pixels = (255 * plt.imread(path)[..., :3]).astype(np.uint32)
        colours, counts = np.unique(pixels @ np.array([1, 256, 65536]), return_counts=True)
        return len(colours) > 200 and counts.max() < 0.9 * counts.sum()

    return check
