"""Compiled loops are kept where a change of any source is seen, and made anew where none can be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import lensphys
from lensphys.kernels import compiling

PACKAGE = Path(lensphys.__file__).parent
DEFLECT = """
import warnings; warnings.simplefilter("error")
import numpy as np
from lensphys.kernels import compiling
from lensphys.kernels.sie import fill_deflection
x, (alpha_x, alpha_y) = np.linspace(-1, 1, 5)[None], np.empty((2, 1, 5))
fill_deflection(x, x + 0.5, *np.array([[1.0], [0.1], [0.2], [0.0], [0.0]]), alpha_x, alpha_y)
print(f"{alpha_x.sum():.6f} {alpha_y.sum():.6f}")
print(sum(fill_deflection.stats.cache_hits.values()), compiling.cache_folder())
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package, without what was compiled."""
    copy = tmp_path / "copy" / "lensphys"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def deflect(package, **environment):
    """Deflection, cache hits and cache folder of a process that uses this copy."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-c", DEFLECT],
        cwd=package.parent,
        env=clean | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    alpha, cache = done.stdout.splitlines()
    hits, folder = cache.split(maxsplit=1)
    return alpha, int(hits), folder


def test_a_loop_is_compiled_once_and_again_after_a_change_of_another_file(package):
    first, hits, folder = deflect(package)
    assert (hits, Path(folder).parent) == (0, package / "kernels" / "__pycache__")
    assert deflect(package) == (first, 1, folder)
    # The loop of the SIE contains functions of this file, which numba does not look at.
    source = package / "kernels" / "elementary.py"
    source.write_text(source.read_text().replace("return sign * (turn", "return 2 * sign * (turn"))
    changed, hits, other = deflect(package)
    assert hits == 0
    assert changed != first
    assert other != folder
    assert not Path(folder).exists()


@pytest.mark.parametrize("home", ["writable", "read-only"])
def test_a_package_that_cannot_be_written_keeps_its_loops_elsewhere_or_nowhere(
    package, tmp_path, home
):
    # A file in the way stops every user, root too.
    (package / "kernels" / "__pycache__").write_text("")
    cache = tmp_path / "cache"
    cache.mkdir() if home == "writable" else cache.write_text("")
    given = {"XDG_CACHE_HOME": str(cache), "HOME": str(tmp_path)}
    found, hits, folder = deflect(package, **given)
    assert hits == 0
    if home == "writable":
        assert Path(folder).parent == cache / "lensphys"
        assert deflect(package, **given) == (found, 1, folder)
    else:
        assert folder == "None"
        assert deflect(package, **given) == (found, 0, "None")


def test_a_folder_of_ones_own_choice_comes_first(package, tmp_path):
    _, _, folder = deflect(package, NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    assert Path(folder).parent == tmp_path / "mine"


BREAK = """
import shutil
import numpy as np, torch, lensphys as lp
from lensphys.kernels import compiling
import lensphys.kernels.tnfw
folder = compiling.cache_folder()
shutil.rmtree(folder)
folder.write_text("")
halo = {name: torch.tensor([0.1, 0.2]) for name in ("Rs", "alpha_Rs", "r_trunc")}
alpha = lp.Population(lp.TNFW(**halo)).deflection(*lp.pixel_grid(40, 0.1))
print(bool(torch.stack(alpha).isfinite().all()))
"""


def test_a_folder_that_fails_later_is_done_without(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BREAK],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_file_of_a_loop_that_is_damaged_is_made_anew(tmp_path, kind):
    given = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def scale():
        code = "import torch; from lensphys.kernels import launch; from lensphys.kernels.scaling "
        code += "import scale; print(launch.scale(torch.ones(1, 2), 3.0).tolist(), "
        code += "sum(scale.stats.cache_hits.values()))"
        given_here = {"env": given, "cwd": PACKAGE.parent, "text": True, "check": True}
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, **given_here
        ).stdout

    assert scale() == "[[3.0, 3.0]] 0\n"
    (kept,) = tmp_path.rglob(f"*.{kind}")
    kept.write_bytes(kept.read_bytes()[:40])
    assert scale() == "[[3.0, 3.0]] 0\n"
    assert scale() == "[[3.0, 3.0]] 1\n"


def test_the_digest_changes_with_every_source(package):
    kernels = package / "kernels"
    before = compiling.digest(kernels)
    assert before == compiling.digest(PACKAGE / "kernels")
    for source in kernels.glob("*.py"):
        text = source.read_text()
        source.write_text(text + "\n# changed\n")
        assert compiling.digest(kernels) != before, source.name
        source.write_text(text)
    (kernels / "new.py").write_text("")
    assert compiling.digest(kernels) != before


def test_the_folder_of_other_functions_of_numba_stays_as_it_is():
    before = numba.config.CACHE_DIR

    @compiling.kernel
    def fill(values):
        for i in range(values.shape[0]):
            values[i] = i

    assert before == numba.config.CACHE_DIR
