"""Every command and code block of the README runs as written and in order, on a small scale."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.fenced_blocks import CLI, commands, fenced_blocks, run_command
from tests.learn.modelling.make_lenses import catalogue, header, slacs

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_IMAGES = {r"--n \d+": "--n 60"}
_TINY = "embed_dim=24 depth=1 num_heads=3 patch_size=16"
_SHORT = "optimizer.epochs=1 optimizer.batch_size=16 optimizer.warmup_epochs=0"


def _sets(*texts: str, encoder: str = "") -> str:
    """Return `--set` options; those of `_TINY` belong to the section `encoder`."""
    keys = [*(f"{encoder}.{key}" for key in (_TINY.split() if encoder else [])), *texts]
    return "".join(f" --set {key}" for text in keys for key in text.split())


#: How each command is made small: a pattern and its replacement, or options to append. A command of
#: the README belongs to the longest key that it starts with.
SMALL: dict[str, dict[str, str] | str] = {
    "make": {"make": "make --dry-run --makefile Makefile"},
    "source": {"source .*": "grep -q 'VENV := .venv' Makefile"},
    "simulate": _IMAGES,
    "simulate --model 1": {r"--n \d+": "--n 24"},
    "inspect": "",
    "pretrain": _sets(_SHORT, encoder="encoder"),
    "finetune": _sets(_SHORT),
    "finetune --task classify --encoder none": _sets(_SHORT, encoder="scratch_encoder"),
    "finetune --task superres": _sets(_SHORT, "params.width=4 params.blocks=1"),
    "evaluate": "",
    "predict": "",
    "explore": {"explore .*": "explore --help"},  # it ends with Ctrl-C alone
    "embed": "",
    "export": "",
    "report": "",
    "model": " --lens-light none --source sersic --set detect=none",
}


def key_of(command: str) -> str:
    """Return the key of `SMALL` that covers a command."""
    bare = command.removeprefix(CLI)
    keys = [key for key in SMALL if f"{bare} ".startswith(f"{key} ")]
    assert keys, f"add to SMALL how the test runs `{command}`"
    return max(keys, key=len)


def small(command: str) -> str:
    """Return a command of the README at the size of the test."""
    change = SMALL[key_of(command)]
    if isinstance(change, str):
        return command + change
    for pattern, replacement in change.items():
        command, count = re.subn(pattern, replacement, command)
        assert count == 1, f"{pattern} is not in `{command}`"
    return command


BLOCKS = fenced_blocks(README)
COMMANDS = [
    command for language, code in BLOCKS if language == "bash" for command in commands(code)
]


def test_every_block_of_the_readme_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    slacs(tmp_path / "J1", head=header())
    row = "J1,J1/image.fits,J1/noise.fits,J1/psf.fits"
    catalogue(tmp_path / "lenses.csv", [row])
    scope: dict = {}
    for language, code in BLOCKS:
        if language == "python":
            exec(compile(code, "README.md", "exec"), scope)
            continue
        for command in commands(code):
            status = run_command(small(command))
            captured = capsys.readouterr()
            assert status == 0, f"{command}\n{captured.out}{captured.err}"
    assert len(scope["result"].params["theta_E"]) == 1
    for command in COMMANDS:
        for option in ("--out", "--data"):
            words = shlex.split(command)
            if option in words:
                assert Path(words[words.index(option) + 1]).is_dir(), command


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_runs_what_the_readme_says(target):
    assert f"make {target}" in COMMANDS
    planned = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {"demo": "cli.py demo", "test": "-m pytest"}[target] in planned


def test_every_way_to_make_a_command_small_is_used():
    assert {key_of(command) for command in COMMANDS} == set(SMALL)


def test_no_block_of_the_readme_is_left_out():
    fences = re.findall(r"^```(.*)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(BLOCKS)


def test_the_readme_is_short():
    text = README.read_bytes()
    assert len(text) <= 7_000
    assert text.count(b"\n") <= 150


def test_links_and_pictures_of_the_readme_exist():
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", text):
        assert (ROOT / target).exists(), target
