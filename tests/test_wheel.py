"""The wheel that strangers install, used from a folder of theirs."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Folders and files of a stranger that have the names of ours.
SAME_NAMES = ("learn", "simulate", "configs", "lensphys")


def tracked() -> list[str]:
    """Files of the packages, and what builds them."""
    names = ["cli.py", "pyproject.toml", "README.md", "LICENSE", *SAME_NAMES]
    listed = ["git", "-C", str(ROOT), "ls-files", *names]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, source = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("source")
    for name in tracked():  # a build leaves files where it is made
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(out), str(source)], check=True)
    (path,) = out.glob("lensphys-*.whl")
    return path


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that sees our dependencies, but not this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--ignore-installed", str(wheel)], check=True)
    (site,) = (folder / "lib").glob("python*/site-packages")
    # Added after what is installed; .pth files of that folder, with the checkout, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "lensphys"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of a stranger, whose own modules have the names of ours."""
    for name in SAME_NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    (tmp_path / "cli.py").write_text("raise SystemExit('the wrong cli')\n")
    return tmp_path


def run(folder: Path, *words: str | Path) -> str:
    known = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, env=known, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_what_the_commands_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    packed = [name for name in tracked() if name == "cli.py" or name.startswith(SAME_NAMES)]
    assert set(packed) <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks"))]


def test_the_installed_command_takes_nothing_from_the_folder_it_runs_in(
    command: Path, elsewhere: Path
) -> None:
    assert run(elsewhere, command, "--version").startswith("lensphys ")
    run(elsewhere, command, "simulate", "--model", "3", "--n", "6", "--workers", "2", "--out", "d")
    assert "cdm" in run(elsewhere, command, "inspect", "d")
    sets = ("optimizer.epochs=1", "encoder.depth=1", "encoder.patch_size=16", "monitor=null")
    more = [word for one in sets for word in ("--set", one)]
    run(elsewhere, command, "pretrain", "--method", "mae", "--data", "d", "--out", "r", *more)
    assert (elsewhere / "r" / "encoder.safetensors").is_file()
    where = "import lensphys, sys; print(lensphys.__file__)"
    python = command.with_name("python")
    assert str(command.parents[1]) in run(elsewhere.parent, python, "-c", where)
