"""The command line: every mistake ends in one line and exit code 2, and leaves nothing behind."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import lensphys
from lensphys.ground.errors import InputError
from simulate import run

ROOT = Path(__file__).parents[1]
COMMANDS = [
    *("simulate", "import", "pretrain", "finetune", "predict", "embed", "model", "audit", "demo"),
    "compare",
]
SMALL = "simulate --model 2 --n 6 --workers 1 --device cpu --out data"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def refused(call, tmp_path):
    """Runs a command line that must be refused, and returns the one line that says why."""

    def run(line: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        code, out, err = call(line)
        assert code == 2
        assert out == ""
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return err

    return run


def program(*arguments, code=None):
    source = [str(ROOT / "cli.py")] if code is None else ["-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *source, *arguments], capture_output=True, text=True, env=environment
    )


# Help.


@pytest.mark.parametrize("command", [*COMMANDS, "inspect", "evaluate", "export", "report"])
def test_help_explains_and_gives_an_example(call, command):
    code, out, _ = call(f"{command} --help")
    assert code == 0
    assert f"Example: python cli.py {command}" in out
    assert ("--set" in out) == (command in COMMANDS)
    assert ("KEY=VALUE" in out) == (command in COMMANDS)
    options = out.partition("Options")[2]
    for jargon in ("<bool>", "<str>", "<int>", "<float>", "<path>", "<list"):
        assert jargon not in options


def test_flags_of_the_program_take_no_value(call):
    assert "<bool>" not in call("--help")[1]


def test_help_lists_all_commands(call):
    code, out, _ = call("--help")
    assert code == 0
    assert all(command in out for command in COMMANDS)


def test_without_arguments_there_is_help(call):
    _, out, err = call("")
    assert "Usage: python cli.py" in out + err


def test_help_does_not_wait_for_heavy_imports():
    """All of them in one process: neither torch nor anything else that takes a second."""
    heavy = "{'torch', 'lenstronomy', 'lightly', 'timm', 'astropy', 'h5py', 'pytorch_lightning'}"
    code = f"""
import sys, cli
for line in [["--help"], *([name, "--help"] for name in {COMMANDS})]:
    try:
        cli.main(line)
    except SystemExit as stop:
        assert not stop.code
sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)
"""
    done = program(code=code)
    assert done.returncode == 0, done.stderr


def test_the_version_is_shown(call):
    code, out, _ = call("--version")
    assert (code, out) == (0, f"lensphys {lensphys.__version__}\n")


def test_messages_and_usage_name_the_program_as_it_was_started(call, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/lensphys"])
    out = call("simulate --help")[1]
    assert "Usage: lensphys simulate" in out
    assert "Example: lensphys simulate --model 2 --n 50000" in out
    assert "(see `lensphys simulate --help`)" in call("simulate")[2]
    assert "make it with `lensphys simulate --model 2" in call("pretrain --method mae")[2]
    assert "make one with `lensphys simulate`" in call("inspect none")[2]


def test_shells_complete_the_commands_of_the_installed_program(tmp_path):
    script = Path(sys.executable).with_name("lensphys")
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    show = [script, "--show-completion", "bash"]
    shown = subprocess.run(show, capture_output=True, text=True, env=environment)
    assert "_LENSPHYS_COMPLETE=complete_bash" in shown.stdout
    asked = {"_LENSPHYS_COMPLETE": "complete_bash", "COMP_WORDS": "lensphys p", "COMP_CWORD": "1"}
    found = subprocess.run([script], capture_output=True, text=True, env=os.environ | asked)
    assert found.stdout.split() == ["pretrain", "predict"]


# Bad input.


@pytest.mark.parametrize(
    "line",
    [
        "simulate --model 2 --set lens.gama1=0.1",
        "simulate --model 2 --preset physical --set cosmology=Planck99",
        "simulate --model 2 --set instrument=euclid",
        "simulate --model 2 --device cuda",
        "import none",
        "inspect none",
        "pretrain --method mae",
        "pretrain --method mae --set params.mask_ration=0.5",
        "finetune --task classify --encoder none",
        "finetune --task classify --encoder none --data none",
        "evaluate none",
        "predict none image.fits",
        "embed none image.fits",
        "model none",
        "model none.fits --noise none.fits",
        "model lenses.csv --set mas=SIE",
        "model . --device cuda",
        "export none",
        "audit none",
        "demo --set pretrain.method=mea",
        "compare --tier smoke --only mea",
    ],
)
def test_bad_input_is_refused_before_anything_heavy_is_imported(line):
    heavy = "torch astropy scipy matplotlib pytorch_lightning numba timm lightly skimage sklearn"
    code = f"""
import sys, cli
from lensphys.ground import devices
devices._has_driver = lambda: False
try:
    cli.main({shlex.split(line)})
except SystemExit as stop:
    assert stop.code == 2
imported = set({heavy.split()}) & set(sys.modules)
sys.exit(str(imported) if imported else 0)
"""
    done = program(code=code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("simulate --model 7", "unknown model 7; preset 'published' has models 1, 2, 3"),
        ("pretrain --method mea", "unknown method 'mea' (did you mean 'mae'?)"),
    ],
)
def test_bad_input_is_answered_in_one_line(refused, line, message):
    assert message in refused(line)


@pytest.mark.parametrize(
    "line",
    [
        "simulate",
        "simulate --model two",
        "simulate --model 2 --n many",
        "simulate --model 2 --backend jax",
        "simulate --model 2 --m 3",
        "pretrain",
        "finetune --task classify --mode half",
        "model",
        "model lens.fits --mass NFW",
        "simulat --model 2",
    ],
)
def test_wrong_usage_is_answered_in_one_line_that_points_to_help(refused, line):
    assert "--help`)" in refused(line)


def test_an_error_of_a_program_is_one_line_without_traceback(tmp_path):
    done = program("simulate", "--model", "7")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown model 7; preset 'published' has models 1, 2, 3\n"
    assert list(tmp_path.iterdir()) == []


def test_debug_lets_the_traceback_through(call):
    with pytest.raises(InputError, match="unknown model 7"):
        call("--debug simulate --model 7")


def test_a_folder_that_cannot_be_written_to(refused, tmp_path):
    (tmp_path / "data").write_text("a file")
    assert "cannot write to data: File exists; choose another --out" in refused(SMALL)


def test_ctrl_c_says_how_to_go_on(call, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "simulate", interrupted)
    code, _, err = call(SMALL)
    assert code == 130
    assert err == "interrupted; run the same command again to go on where it stopped\n"


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path):
    """A limit on the size of files fails inside HDF5, as a full disk does."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    line = shlex.split(f"{SMALL} --n 30")
    done = program(code=f"{limit}; import cli; cli.main({line})")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot write data/shard-00000.h5: ")
    assert "File too large" in last
    assert last.endswith("run the same command again to go on")
    assert not (tmp_path / "data").exists()
