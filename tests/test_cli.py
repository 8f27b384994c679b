"""The command line: every mistake ends in one line and exit code 2, and leaves nothing behind."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import typer

import cli
import lensphys
from learn.methods import METHODS
from learn.tasks import TASKS
from lensphys.ground.devices import DEVICES
from lensphys.ground.errors import InputError
from simulate import run, shards
from simulate.backends import BACKENDS
from simulate.config import SimulateConfig

ROOT = Path(__file__).parents[1]
COMMANDS = [
    *("simulate", "import", "pretrain", "finetune", "predict", "model", "audit", "demo", "compare")
]
SMALL = "simulate --model 2 --n 6 --workers 1 --device cpu --out data"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def call(capsys):
    """Runs a command line in this process: exit code, standard output, standard error."""

    def run(line: str) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(shlex.split(line))
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


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


def test_the_help_of_audit_says_how_it_ends(call):
    out = call("audit --help")[1]
    assert "Exit code: 0 if no check failed, 1 if one did, 2 for bad input" in out


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


def test_names_in_the_help_are_those_of_the_registries(call, monkeypatch):
    monkeypatch.setitem(METHODS, "toy", "nowhere:Toy")
    monkeypatch.setitem(TASKS, "guess", "nowhere:Guess")
    assert "physics-ijepa or toy." in call("pretrain --help")[1]
    assert "superres or guess." in call("finetune --help")[1]
    assert "1|2|3" in call("simulate --help")[1]
    assert "published|physical" in call("simulate --help")[1]
    assert "smoke" in call("compare --help")[1]


def test_names_of_options_are_those_of_the_configurations():
    assert get_args(SimulateConfig.model_fields["backend"].annotation) == BACKENDS
    assert get_args(SimulateConfig.model_fields["device"].annotation) == DEVICES


def test_every_option_of_a_command_has_a_help(call):
    group = typer.main.get_command(cli.app)
    for command in group.commands.values():
        command.fill_help()
        assert all(param.help and "{" not in param.help for param in command.params), command.name


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
        ("simulate --model 2 --preset publishd", "(did you mean 'published'?)"),
        ("simulate --model 2 --n 0", "n: Input should be greater than 0 (got 0)"),
        ("simulate --model 2 --n -5", "n: Input should be greater than 0 (got -5)"),
        ("simulate --model 2 --seed -1", "seed: "),
        ("simulate --model 2 --workers 0", "workers: "),
        ("simulate --model 2 --classes no_sub,cmd", "unknown class 'cmd' (did you mean 'cdm'?)"),
        ("simulate --model 2 --pairs 3", "--pairs 3 does not divide images of 64 pixels"),
        ("simulate --model 2 --pairs 64", "--pairs 64"),
        ("simulate --model 2 --set lens.gama1=0.1", "(did you mean 'gamma1'?)"),
        ("simulate --model 2 --set lens.gamma1", "--set takes key=value"),
        ("simulate --model 2 --set =3", "--set takes key=value or section.key=value, as seed=1"),
        ("simulate --model 2 --set ' =3'", "got ' =3'"),
        ("simulate --model 2 --set lens.=3", "got 'lens.=3'"),
        ("simulate --model 2 --set lens..e1=3", "got 'lens..e1=3'"),
        ("simulate --model 2 --set lens.gamma1=.nan", "lens.gamma1: "),
        ("simulate --model 2 --set lens.e1=0.9 --set lens.e2=0.9", "lens: "),
        ("simulate --model 2 --set cdm.r_min=3", "cdm: "),
        ("simulate --model 2 --set instrument=euclid", "unknown instrument 'euclid'"),
        ("simulate --model 2 --config none.yaml", "cannot read the configuration none.yaml"),
        ("simulate --model 2 --scheduler s --workers 2", "--workers or --scheduler, not both"),
        ("simulate --model 2 --scheduler s", "no Dask scheduler answers at 's'; start one with"),
        ("inspect none", "none is not a data set: it has no manifest.json"),
        ("pretrain --method mea", "unknown method 'mea' (did you mean 'mae'?)"),
        ("pretrain --method mae --set sed=1", "(did you mean 'seed'?)"),
        ("pretrain --method mae --set optimizer.epoch=1", "(did you mean 'epochs'?)"),
        ("pretrain --method mae", "make it with `python cli.py simulate --model 2"),
        ("pretrain --method mae --data d", "make it with `python cli.py simulate --model 2"),
        ("finetune --task clasify", "unknown task 'clasify' (did you mean 'classify'?)"),
        ("finetune --task classify --labels-per-class 0", "labels_per_class: "),
        ("finetune --task classify --encoder none", "`python cli.py simulate --model 3"),
        ("finetune --task superres --encoder none", "`python cli.py simulate --model 1 --pairs 2"),
        ("finetune --task classify --encoder none --data d", "`python cli.py simulate"),
        ("import none", "there is no file or folder none"),
        ("import .", ". has none of the known layouts: known are no_sub/ cdm/ axion/"),
        ("import . --model 1 --instrument euclid_vis", "give --model or --instrument"),
        ("import . --pixel-scale -1", "pixel_scale: Input should be greater than 0"),
        ("import . --size 1", "size: "),
        ("import . --label-names a,,b", "label_names.1: "),
        ("import . --label-names a,a", "must name each class once"),
        ("import . --exposure-time 0", "exposure_time: Input should be greater than 0 (got 0"),
        ("import . --label-names a,b", "there is no folder 'a' in .; it has no folders"),
        ("model none.fits", "none.fits: there is no such file or folder"),
        ("model .", ".: there is no FITS image of the sky in this folder"),
        ("model none.csv", "none.csv: there is no such catalogue"),
        ("model . --noise none.fits", "--noise none.fits: there is no such file"),
        ("model . --psf none.fits", "--psf none.fits: there is no such file"),
        ("model . --field 0", "field: Input should be greater than 0 (got 0"),
        ("model . --set mas=SIE", "(did you mean 'mass'?)"),
        ("audit none", "there is no data set at none"),
        ("audit . --set radial=1", "unknown key 'radial' (did you mean 'radial_auc_max'?)"),
        ("import . --set fil=zero", "(did you mean 'fill'?)"),
        ("demo --set simulat=3", "(did you mean 'simulate'?)"),
        ("demo --set simulate=[{n:5}]", "a step of simulate lacks the key 'model'"),
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


@pytest.mark.parametrize("options", ["--model 7", "--model 2 --preset publishd"])
def test_model_and_preset_are_checked_with_a_configuration_of_ones_own_too(refused, options):
    own = ROOT / "configs/simulate/model2.yaml"
    assert "unknown" in refused(f"simulate {options} --config {own} --n 3 --workers 1")


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


# Good input.


def test_import_writes_a_data_set_and_names_what_it_skips(call, tmp_path):
    for name in ("no_sub", "cdm"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(3):
            np.save(tmp_path / "set" / name / f"{i}.npy", np.eye(8))
    (tmp_path / "set" / "cdm" / "1.npy").write_bytes(b"")
    line = "import set --pixel-scale 0.05 --unit ADU"
    code, out, err = call(line)
    assert code == 0
    assert out == "wrote data/imported/set\npicture: data/imported/set/preview.png\n"
    assert "skipped cdm/1.npy: it is empty\n" in err
    data = shards.read(Path("data/imported/set"))
    assert data.label.tolist() == [0, 1, 0, 0, 1]
    assert data.attrs["unit"] == "ADU"
    assert "already complete: data/imported/set" in call(line)[1]


def test_both_backends_make_the_same_data_set(call):
    data = []
    for backend in ("torch", "lenstronomy"):
        code, out, _ = call(
            "simulate --model 2 --n 30 --workers 1 --device cpu "
            f"--backend {backend} --out {backend}"
        )
        assert code == 0
        assert out == f"wrote {backend}\npicture: {backend}/preview.png\n"
        data.append(shards.read(Path(backend)))
    fast, reference = data
    assert len(fast) == 30
    peak = reference.image.max((1, 2, 3), keepdims=True)
    assert (np.abs(fast.image - reference.image) / peak).max() < 1e-5
    assert np.array_equal(fast.label, reference.label)
    for name, values in fast.params.items():
        assert np.array_equal(values, reference.params[name], equal_nan=True), name


def test_options_reach_the_data_set(call):
    code, _, _ = call(f"{SMALL} --classes cdm,axion --pairs 4 --seed 9 --set lens.e1=0.2")
    assert code == 0
    data = shards.read(Path("data"))
    assert data.label_names == ["cdm", "axion"]
    assert data.image_lr is not None
    assert data.image_lr.shape == (6, 1, 16, 16)
    assert (data.params["e1"] == 0.2).all()
    assert data.config["seed"] == 9


def test_the_same_command_again_has_nothing_to_do(call):
    assert "wrote data" in call(SMALL)[1]
    code, out, _ = call(SMALL)
    assert code == 0
    assert "already complete: data" in out


def test_another_command_in_the_same_folder_is_refused(call, refused):
    call(SMALL)
    assert "holds a data set with seed = 0, not 1; choose another --out" in refused(
        f"{SMALL} --seed 1"
    )


def test_inspect_shows_a_data_set_and_names_what_is_damaged(call):
    call(SMALL)
    code, out, err = call("inspect data --verify")
    assert (code, err.count("error")) == (0, 0)
    assert "picture: data/preview.png\nall 1 shards are intact\n" in out
    shard = Path("data/shard-00000.h5")
    whole = shard.read_bytes()
    middle = len(whole) // 2  # in an image
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    assert call("inspect data")[0] == 0
    code, out, err = call("inspect data --verify")
    assert code == 2
    assert "intact" not in out
    damaged = f"error: {shard} has another checksum than when it was written"
    assert err.splitlines()[-1].startswith(damaged + "; run the command that made it again")
    call(SMALL)
    assert call("inspect data --verify")[0] == 0
    shard.write_bytes(b"")
    code, _, err = call("inspect data")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"error: {shard} is truncated or not a shard of this program; run the")
